"""Names that clients make up, published on a real disk: inside files/, visible, of a bearable length, never twice."""

import asyncio
import os
import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.protocol.model import Place, UploadId
from onward.protocol.naming import PathValues, parse_layout
from onward.storage.base import Durability
from onward.storage.blobs.disk import DiskBlobs

NASTY = st.sampled_from(
    ["", ".", "..", "/", "../../etc/passwd", ".hidden", "con", "a\0b", "a//b", "e\u0301", "\u202egnp.exe", "x" * 300,
     "ß" * 150, "a.tar.gz", "CON.", " lead", "trail ", "0" * 32, "-" * 3, "a/b/../c", "\\\\share\\x", "{id}", "%2e%2e"]
)  # fmt: skip
NAMES = st.lists(st.one_of(NASTY, st.text(max_size=120), st.binary(max_size=60).map(repr)), min_size=20, max_size=20)
LAYOUTS = [parse_layout(text) for text in ("{name}", "{ext}/{name}", "{sha256:1}/{name}/{id}", "x{name}y{ext}")]
_ids = count(1)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NAMES, st.sampled_from(LAYOUTS))
def test_no_name_leads_out_of_the_folder_or_to_another_file(names: list[str], layout: object) -> None:
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        asyncio.run(_publish(Path(folder), names, layout))


async def _publish(folder: Path, names: list[str], layout: object) -> None:
    assert isinstance(layout, type(LAYOUTS[0]))
    blobs = DiskBlobs(folder / "data", Durability.NONE)
    published: dict[str, bytes] = {}
    sealed_places: dict[str, Place] = {}
    for name in names:
        id_ = UploadId(f"{next(_ids):032x}")
        data = id_.encode()
        values = PathValues(id=id_, sha256=os.urandom(32), file_name=name)
        async with blobs.open(await blobs.create(id_), 0) as writer:
            writer.write(data, 0)
        place = await blobs.stage(writer.place, len(data), layout.path(values, 1e9))
        sealed = await blobs.seal(place, len(data))
        path = sealed.partition("//")[0].removeprefix("files/")
        assert path not in published
        published[path], sealed_places[path] = data, sealed
        for segment in path.split("/"):
            assert segment not in ("", ".", "..")
            assert segment[0] != "."
            assert len(segment.encode()) <= 255
    found = {os.path.join(root, name) for root, _, names in os.walk(folder) for name in names}
    assert found == {str(folder / "data" / "files" / path) for path in published}
    for path, data in published.items():
        assert b"".join([block async for block in blobs.read(sealed_places[path], 0, len(data))]) == data
    await blobs.close()
