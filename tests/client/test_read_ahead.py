"""Small files that are read ahead: what is sent is what was planned, and no file stays locked."""

import os
from pathlib import Path

import pytest
from aiohttp import web
from client_process import run
from pytest_aiohttp.plugin import AiohttpServer

from onward.client.cli.read_ahead import Planned, ReadAhead
from onward.client.environment import names_proxy_or_login
from onward.client.file import identity
from onward.client.resume_file import LOCK, lock_file

COUNT = 5


@pytest.fixture
def planned(tmp_path: Path) -> list[Planned]:
    """Small files as a command plans them."""
    found = []
    for number in range(COUNT):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(b"%d" % number * 100)
        found.append(Planned(path=str(path), id=f"id{number}", identity=identity(path, path.stat())))
    (tmp_path / "state").mkdir()
    return found


async def test_files_that_are_not_as_planned_go_the_usual_way(planned: list[Planned], tmp_path: Path) -> None:
    state = tmp_path / "state"
    changed, gone, held, begun, good = planned
    Path(changed.path).write_bytes(b"x" * changed.identity.size)
    os.utime(changed.path, ns=(0, 0))
    Path(gone.path).unlink()
    (state / f"{begun.id}.json").write_bytes(b"{}")
    other = lock_file(state / f"{held.id}{LOCK}")
    ahead = ReadAhead(planned, state, 100)
    assert [await ahead.take(each.path) for each in (changed, gone, held, begun)] == [None] * 4
    ready = await ahead.take(good.path)
    assert ready is not None
    assert ready.file.data == Path(good.path).read_bytes()
    assert lock_file(state / f"{good.id}{LOCK}") is None
    assert await ahead.take(good.path) is None
    ahead.end(ready)
    await ahead.close()
    assert other is not None
    os.close(other)
    assert sorted(path.name for path in state.iterdir()) == [f"{held.id}{LOCK}", f"{begun.id}.json"]


async def test_what_was_read_and_not_sent_is_unlocked(planned: list[Planned], tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    ahead = ReadAhead(planned, tmp_path / "state", 4)
    ready = await ahead.take(planned[0].path)
    assert ready is not None
    assert len(list((tmp_path / "state").iterdir())) > 1
    ahead.end(ready)
    await ahead.close()
    assert list((tmp_path / "state").iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_a_proxy_and_a_login_of_the_environment_are_used(tmp_path: Path, aiohttp_server: AiohttpServer) -> None:
    seen: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.raw_path, request.headers.get("Authorization")))
        raise web.HTTPForbidden

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    url = str((await aiohttp_server(app)).make_url("/"))
    file, netrc = tmp_path / "file.txt", tmp_path / "netrc"
    file.write_bytes(b"some bytes")
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    await run(tmp_path, "upload", str(file), "--to", f"{url}files", environ={"NETRC": str(netrc)})
    await run(tmp_path, "upload", str(file), "--to", "http://other.test/files", environ={"http_proxy": url})
    assert seen[0] == ("/files", "Basic c29tZWJvZHk6c2VjcmV0")
    assert "http://other.test/files" in [path for path, _ in seen]


def test_without_them_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    assert not names_proxy_or_login({"NETRC": str(tmp_path / "none")})
    (tmp_path / "netrc").touch()
    assert names_proxy_or_login({"NETRC": str(tmp_path / "netrc")})
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert names_proxy_or_login({"NETRC": str(tmp_path / "none")})
