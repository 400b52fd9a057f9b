"""Finished files of one name on two servers over Redis: each upload has its own, also after Redis came back empty."""

import asyncio
import hashlib
import json
from base64 import b64encode
from pathlib import Path

import pytest
import tus_requests as tus
from server_pair import Group, redis_group

pytestmark = pytest.mark.slow
NAME = {"Upload-Metadata": f"filename {b64encode(b'report.pdf').decode()}"}
COUNT = 24


async def _upload(group: Group, number: int) -> tuple[str, bytes]:
    """Create an upload on one server, and send its halves to both."""
    data, urls = b"%04d" % number * 500, [node.url for node in group.nodes]
    url = await tus.create(group.http, urls[number % 2], len(data), **NAME)
    id_ = url.rpartition("/")[2]
    for at, files in ((0, urls[0]), (1000, urls[1])):
        headers = tus.TUS | tus.OCTETS | {"Upload-Offset": str(at)}
        async with group.http.patch(f"{files}/{id_}", data=data[at : at + 1000], headers=headers) as answer:
            assert answer.status == 204
    return id_, data


async def _check(group: Group, uploads: list[tuple[str, bytes]], folder: Path) -> None:
    """Check that both servers know each file, and that there is no other."""
    found = {file.name: file.read_bytes() for file in folder.iterdir()}  # noqa: ASYNC240
    paths = set()
    for id_, data in uploads:
        for node in group.nodes:
            async with group.http.get(f"{node.url}/{id_}") as answer:
                assert await answer.read() == data
            async with group.http.get(f"{node.url}/{id_}/progress") as answer:
                told = json.loads(await answer.text())
        assert told["sha256"] == hashlib.sha256(data).hexdigest()
        assert found[told["path"]] == data
        paths.add(told["path"])
    assert paths == found.keys()
    assert "report.pdf" in paths


async def test_two_servers_give_each_upload_a_file_of_its_own(tmp_path: Path) -> None:
    async with redis_group(tmp_path, options=("--layout={name}",)) as group:
        uploads = await asyncio.gather(*(_upload(group, number) for number in range(COUNT)))
        await _check(group, uploads, tmp_path / "data" / "files")
        group.redis.flush()
        await _check(group, uploads, tmp_path / "data" / "files")
        uploads.append(await _upload(group, COUNT))
        await _check(group, uploads, tmp_path / "data" / "files")
        for id_, _ in uploads[:COUNT]:
            async with group.http.delete(f"{group.nodes[0].url}/{id_}", headers=tus.TUS) as answer:
                assert answer.status == 204
        assert len(list((tmp_path / "data" / "files").iterdir())) == 1
