"""The folders of the data folder: elsewhere, forbidden for a while, not mounted. No upload ends by that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from http_connection import Tus, path_of, poll
from mounts import elsewhere, tmpfs, unmount
from onward_process import OBEYING_MODES, ROOT
from server_process import serving

MIB = 2**20
REFUSED = {  # how a PATCH may be answered while a folder takes no files: some of them need none
    "partial": {503, 409},  # 409: the sweep has finished it while the folder could be used again
    "files": {503, 409},
    "records": {503, 204, 409},
}


def check_everything_works(tus: Tus, files: Path, partial: Path) -> None:
    """Upload in pieces and at once, join, download and remove."""
    data = os.urandom(3 * MIB)
    path = tus.begun(data, MIB)
    tus.check_holds(path, data, MIB)
    published = files / path.rpartition("/")[2]
    assert published.read_bytes() == data
    assert published.stat().st_mode & 0o777 == 0o440
    parts = [tus.stored(piece, {"Upload-Concat": "partial"}) for piece in (data[:MIB], data[MIB:])]
    joined = tus.post({"Upload-Concat": f"final;{' '.join(parts)}"})
    assert joined.status == 201, joined
    assert tus.ask("GET", path_of(joined["Location"])).body == data
    assert tus.stored(b"")
    assert tus.ask("DELETE", path).status == 204
    assert not published.exists()
    assert {file.name for file in partial.iterdir()} == {part.rpartition("/")[2] for part in parts}
    assert not [file for file in files.iterdir() if file.name.startswith(".")]


def lost(tus: Tus) -> bool:
    """Ask whether any upload has ended as lost."""
    return b'onward_uploads_ended_total{how="lost"} 0.0' not in tus.ask("GET", "/metrics").body


@pytest.mark.parametrize("durability", ["full", "process"])
def test_files_are_published_on_another_file_system(tmp_path: Path, state_url: str, durability: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    words = [f"--state={state_url}", f"--durability={durability}"]
    with elsewhere(data / "files") as files, serving(data, words) as server:
        check_everything_works(server.tus, files, data / "partial")
        assert server.tus.ask("GET", "/readyz").status == 200
        assert not list(files.glob(".*"))


def test_bytes_may_arrive_on_another_file_system(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with elsewhere(data / "partial") as partial, serving(data) as server:
        check_everything_works(server.tus, data / "files", partial)


def test_a_published_disk_without_room_keeps_the_upload_until_there_is_some(tmp_path: Path) -> None:
    data, content = tmp_path / "data", os.urandom(6 * MIB)
    data.mkdir()
    with tmpfs(data / "files", 8 * MIB) as files, serving(data, ["--reserve=0"], log=tmp_path / "log") as server:
        tus = server.tus
        path = tus.begun(content, 5 * MIB)
        (files / "ballast").write_bytes(bytes(4 * MIB))
        assert tus.patch(path, 5 * MIB, content[5 * MIB :]).status == 507
        assert {file.name for file in files.iterdir()} == {"ballast"}, "a half-made copy takes room"
        (files / "ballast").unlink()
        answer = tus.patch(path, 6 * MIB)
        assert answer.status == 204, answer
        assert tus.ask("GET", path).body == content


@pytest.mark.parametrize("folder", ["partial", "files", "records"])
def test_a_folder_that_takes_no_files_for_a_while_ends_no_upload(folder: str, tmp_path: Path, redis_url: str) -> None:
    data, words = tmp_path / "data", [f"--state={redis_url}", "--reserve=0"]
    with serving(data, words, program=("-c", OBEYING_MODES)) as server:
        tus, content = server.tus, os.urandom(2 * MIB)
        begun, fresh = tus.begun(content, MIB), tus.create(len(content))
        for mode in (0o500, 0o000):
            (data / folder).chmod(mode)
            for path, offset in ((begun, MIB), (fresh, 0), (begun, MIB)):
                answer = tus.patch(path, offset, content[offset:])
                assert answer.status in REFUSED[folder], answer
            poll(lambda: tus.ask("GET", "/readyz").status == 503)
            assert f"{folder}/".encode() in tus.ask("GET", "/readyz").body
            (data / folder).chmod(0o700)
            poll(lambda: tus.ask("GET", "/readyz").status == 200)
        for path in (begun, fresh):
            offset = tus.offset(path)
            assert tus.patch(path, offset, content[offset:]).status == 204
            assert tus.ask("GET", path).body == content
        assert not lost(tus)


@pytest.mark.parametrize("folder", ["partial", "files"])
def test_a_volume_that_is_not_mounted_loses_nothing(folder: str, tmp_path: Path) -> None:
    data, content = tmp_path / "data", os.urandom(2 * MIB)
    data.mkdir()
    image = tmp_path / "kept"
    image.mkdir()
    (data / folder).mkdir()
    with tmpfs(image, 32 * MIB):

        def mount() -> None:
            subprocess.run(["mount", "--bind", str(image), str(data / folder)], check=True)

        mount()
        try:
            with serving(data, ["--reserve=0"]) as server:
                tus = server.tus
                done, begun = tus.stored(content), tus.begun(content, MIB)
                unmount(data / folder)
                assert tus.ask("GET", done).status == (503 if folder == "files" else 200)
                assert tus.patch(begun, MIB, content[MIB:]).status == 503
                assert tus.ask("GET", "/readyz").status == 503
                assert tus.head(begun).status == (200 if folder == "partial" else 423)
                assert not lost(tus)
            words = [sys.executable, "-m", "onward", "serve", "--port=0", f"--data={data}"]
            refused = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
            assert refused.returncode != 0
            assert "is it mounted?" in refused.stderr
            mount()
            with serving(data, ["--reserve=0"]) as server:
                assert server.tus.ask("GET", done).body == content
                server.tus.check_holds(begun, content, server.tus.offset(begun))
        finally:
            unmount(data / folder)
