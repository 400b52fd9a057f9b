"""Somebody planted a link, a pipe or a folder where bytes should be (row S4): nothing beyond the store is touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from http_connection import Tus
from server_process import Server, Start

DATA = b"0123456789"
SECRET = b"a secret of somebody else, longer than the upload"


def _symlink(place: Path, secret: Path) -> None:
    place.symlink_to(secret)


def _hard_link(place: Path, secret: Path) -> None:
    place.hardlink_to(secret)


def _pipe(place: Path, secret: Path) -> None:
    os.mkfifo(place)


def _folder(place: Path, secret: Path) -> None:
    place.mkdir()


def _nothing(place: Path, secret: Path) -> None:
    assert not place.exists()


Plant = Callable[[Path, Path], None]
PLANTS: tuple[Plant, ...] = (_symlink, _hard_link, _pipe, _folder, _nothing)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def planted(server: Server, path: str, plant: Plant, secret: Path) -> None:
    (place,) = server.bytes_of(path)
    place.unlink()
    plant(place, secret)


def check_untouched(tus: Tus, secret: Path) -> None:
    assert (secret.read_bytes(), secret.stat().st_mode & 0o777) == (SECRET, 0o600)
    assert tus.stored(DATA)


@pytest.mark.parametrize("plant", PLANTS)
def test_bytes_are_never_appended_to_what_was_planted(server: Server, plant: Plant, secret: Path) -> None:
    tus = server.tus
    path = tus.begun(DATA, 5)
    planted(server, path, plant, secret)
    answer = tus.patch(path, 5, DATA[5:])
    assert answer.status in (410, 503)
    assert "Upload-Offset" not in answer
    check_untouched(tus, secret)


@pytest.mark.parametrize("plant", PLANTS)
def test_nothing_planted_is_given_as_a_download(server: Server, plant: Plant, secret: Path) -> None:
    tus = server.tus
    path = tus.stored(DATA)
    planted(server, path, plant, secret)
    answer = tus.ask("GET", path)
    if plant is not _hard_link:  # a second name does no harm to who only reads, and back-up tools make some
        assert answer.status in (410, 503)
    assert tus.ask("DELETE", path).status in (204, 503)
    check_untouched(tus, secret)


@pytest.mark.parametrize("first", [5, len(DATA)], ids=["part", "whole"])
@pytest.mark.parametrize("plant", [_symlink, _hard_link, _pipe, _folder])
def test_nothing_planted_beforehand_is_written_to(server: Server, plant: Plant, secret: Path, first: int) -> None:
    tus = server.tus
    path = tus.create(len(DATA))
    plant(server.data / "partial" / path.rpartition("/")[2], secret)
    status = tus.patch(path, 0, DATA[:first]).status
    if status == 204:  # a short upload that arrives whole gets a file of its own in the place of what was planted
        assert first == len(DATA)
        assert tus.ask("GET", path).body == DATA
    else:
        assert status in (410, 503)
    check_untouched(tus, secret)


def test_the_data_folder_itself_may_be_a_link(tmp_path: Path, start: Start) -> None:
    real, link = tmp_path / "real", tmp_path / "data1"
    real.mkdir()
    link.symlink_to(real)
    path = start().tus.stored(DATA)
    assert (real / "files" / path.rpartition("/")[2]).read_bytes() == DATA
