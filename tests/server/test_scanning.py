"""A server with a real clamd: no virus is ever published, and a scanner that dies loses no upload."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests
from clamd_process import EICAR, NAME, ClamdProcess, clamd_running
from http_connection import Answer, Headers, Tus, poll
from server_process import Server, serving

pytestmark = pytest.mark.slow

MIB = 2**20
HALF = len(EICAR) // 2
BLOCKS = (2**16, 2**18, 2**19, MIB, 16 * MIB)  # of sockets, files, bodies and strides
PLACES = {
    "alone": EICAR,
    "at the end of 40 MiB": bytes(40 * MIB) + EICAR,
    "over the borders of blocks": b"".join(
        bytes(border - HALF - before) + EICAR
        for before, border in zip((0, *(edge - HALF + len(EICAR) for edge in BLOCKS)), BLOCKS, strict=False)
    ),
    "at the beginning": EICAR + bytes(5 * MIB),
}
RETRIED_WITHIN = 30.0  # seconds until the sweep has asked the scanner again


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamdProcess]:
    with clamd_running(tmp_path_factory.mktemp("clamd")) as running:
        yield running


@pytest.fixture(scope="module", params=["unix", "tcp"])
def server(
    request: pytest.FixtureRequest, clamd: ClamdProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that passes descriptors, and one that sends the bytes."""
    with serving(tmp_path_factory.mktemp("server") / "data", [f"--clamd={getattr(clamd, request.param)}"]) as running:
        yield running


def whole(tus: Tus, content: bytes) -> tuple[str, Answer]:
    path = tus.create(len(content))
    return path, tus.patch(path, 0, content)


def with_creation(tus: Tus, content: bytes) -> tuple[str, Answer]:
    answer = tus.post({"Upload-Length": str(len(content))}, content)
    return "/files/" + answer["Location"].rpartition("/")[2], answer


def chunked(tus: Tus, content: bytes) -> tuple[str, Answer]:
    """Send three bodies, with a border inside of the last virus."""
    path, at = tus.create(len(content)), content.rindex(EICAR) + HALF
    for start, stop in ((0, at // 2), (at // 2, at)):
        assert tus.patch(path, start, content[start:stop]).status == 204
    return path, tus.patch(path, at, content[at:])


def joined(tus: Tus, content: bytes) -> tuple[str, Answer]:
    """Join two parts, with their border inside of the last virus."""
    at = content.rindex(EICAR) + HALF
    parts = [tus.stored(piece, {"Upload-Concat": "partial"}) for piece in (content[:at], content[at:])]
    answer = tus.post({"Upload-Concat": f"final;{' '.join(parts)}"})
    return "/files/" + answer["Location"].rpartition("/")[2], answer


@contextmanager
def watched(folder: Path) -> Iterator[set[str]]:
    """Look into a folder all the time; gives the names of all files that were ever in it."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            seen.update(os.listdir(folder))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def progress(tus: Tus, path: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(tus.progress(path))
    return message


def check_it_failed(tus: Tus, path: str, code: str = "infected") -> None:
    """The upload has failed for good, and nothing that the server says contains any of its bytes."""
    message = progress(tus, path)
    assert (message["status"], message["error"]["code"]) == ("failed", code)
    answers = [tus.head(path), tus.patch(path, 0, b"more"), tus.ask("GET", path)]
    assert [answer.status for answer in answers] == [410, 410, 410]
    assert "upload-offset" not in answers[0]
    assert all(b"EICAR" not in answer.body for answer in answers)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("send", [whole, with_creation, chunked, joined], ids=lambda send: send.__name__)
def test_a_virus_is_never_published(
    server: Server, send: Callable[[Tus, bytes], tuple[str, Answer]], place: str
) -> None:
    with watched(server.data / "files") as seen:
        path, answer = send(server.tus, PLACES[place])
        told = json.loads(answer.body)
        assert (answer.status, told["code"]) == (422, "infected")
        assert told["detail"] == f"The virus scanner found {NAME} in the file."
        assert "upload-offset" not in answer
        assert b"EICAR-STANDARD" not in answer.body
        check_it_failed(server.tus, path)
    assert seen == set()


@pytest.mark.parametrize("place", PLACES)
def test_what_almost_is_a_virus_is_published(server: Server, place: str) -> None:
    content = PLACES[place].replace(EICAR, EICAR.replace(b"EICAR", b"eicar"))
    path = server.tus.stored(content)
    assert server.tus.ask("GET", path).body == content
    server.tus.ask("DELETE", path)


def test_a_file_above_the_limit_is_refused(clamd: ClamdProcess, tmp_path: Path) -> None:
    with serving(tmp_path / "data", [f"--clamd={clamd.unix}", "--clamd-max-size=1M"]) as server:
        path, answer = whole(server.tus, bytes(MIB) + EICAR)
        assert (answer.status, json.loads(answer.body)["code"]) == (422, "unscannable")
        check_it_failed(server.tus, path, "unscannable")
        assert server.tus.patch(server.tus.create(MIB), 0, bytes(MIB)).status == 204


@pytest.mark.parametrize(("policy", "status"), [("refuse", 422), ("pass", 204)])
def test_a_scanner_that_is_down_is_treated_as_told(tmp_path: Path, policy: str, status: int) -> None:
    options = ["--clamd=unix:/nonexistent/clamd.ctl", f"--clamd-unavailable={policy}"]
    with serving(tmp_path / "data", options) as server:
        path, answer = whole(server.tus, b"hello")
        assert answer.status == status
        metrics = server.tus.ask("GET", "/metrics").body.decode()
        if policy == "refuse":
            check_it_failed(server.tus, path, "unscannable")
        else:
            assert 'onward_checks_total{check="clamd",outcome="unjudged"} 1.0' in metrics


def is_held(server: Server, path: str, answer: Answer) -> None:
    """Check that a whole upload waits for the scanner, and that no client could take it for a finished one."""
    assert answer.status == 503
    assert int(answer["Retry-After"]) >= 1
    head = server.tus.head(path)
    assert (head.status, "upload-offset" in head) == (423, False)
    assert int(head["Retry-After"]) >= 1
    assert progress(server.tus, path)["status"] == "verifying"
    assert server.tus.ask("GET", path).status == 409
    assert os.listdir(server.data / "files") == []


def reads(clamd: ClamdProcess, file: Path) -> bool:
    """Tell whether the scanner has a file open."""
    folder = Path(f"/proc/{clamd.pid}/fd")
    for descriptor in folder.iterdir():
        try:
            if descriptor.readlink() == file:
                return True
        except OSError:
            continue
    return False


@contextmanager
def killing(clamd: ClamdProcess, folder: Path) -> Iterator[list[Path]]:
    """Kill the scanner as soon as it reads a file of a folder; gives the files that it was reading."""
    caught: list[Path] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            found = [file for file in folder.iterdir() if reads(clamd, file)]
            if found:
                clamd.kill()
                caught.extend(found)
                return

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield caught
    finally:
        over.set()
        looking.join()


@pytest.mark.parametrize("restarted", [False, True], ids=["the same server", "a server that was killed"])
@pytest.mark.parametrize("infected", [False, True], ids=["clean", "infected"])
def test_a_scanner_that_dies_in_the_middle_holds_the_file(tmp_path: Path, infected: bool, restarted: bool) -> None:
    content = bytes(90 * MIB) + (EICAR if infected else b"fine")
    with clamd_running(tmp_path / "clamd") as clamd:
        options = [f"--clamd={clamd.unix}", "--max-size=1G"]
        with serving(tmp_path / "data", options) as server:
            path = server.tus.create(len(content))
            with killing(clamd, server.data / "partial") as caught:
                answer = server.tus.patch(path, 0, content)
            assert caught, "the scanner was killed while it read the file"
            is_held(server, path, answer)
            assert (
                "files can't be checked: The virus scanner can't be asked"
                in server.tus.ask("GET", "/readyz").body.decode()
            )
            if not restarted:
                clamd.start()
                check_it_ends_by_itself(server, path, content, infected)
        if restarted:
            with serving(tmp_path / "data", options) as server:
                is_held(server, path, answer)
                clamd.start()
                check_it_ends_by_itself(server, path, content, infected)


def check_it_ends_by_itself(server: Server, path: str, content: bytes, infected: bool) -> None:
    """Without any request, a held upload is published, or it fails."""
    published, stored = (
        server.data / "files" / path.rpartition("/")[2],
        server.data / "partial" / path.rpartition("/")[2],
    )
    if infected:
        poll(lambda: "is failed at" in server.data.with_suffix(".log").read_text(), RETRIED_WITHIN)
        check_it_failed(server.tus, path)
        assert not published.exists()
    else:
        poll(published.exists, RETRIED_WITHIN)
        assert not stored.exists()
        assert published.read_bytes() == content
        assert server.tus.offset(path) == len(content)


def test_a_scanner_that_hangs_holds_the_file(tmp_path: Path) -> None:
    with clamd_running(tmp_path / "clamd") as clamd, serving(tmp_path / "data", [f"--clamd={clamd.unix}"]) as server:
        clamd.pause()
        path, answer = whole(server.tus, b"hello")
        is_held(server, path, answer)
        clamd.go_on()
        check_it_ends_by_itself(server, path, b"hello", infected=False)


@pytest.mark.parametrize("over", ["unix", "tcp"])
async def test_twenty_scans_at_once_hold_up_nothing(
    clamd: ClamdProcess, over: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    size, count = 30 * MIB, 20
    content = os.urandom(MIB) * (size // MIB)
    with serving(tmp_path / "data", [f"--clamd={getattr(clamd, over)}"]) as server:
        tus = server.tus
        other = server.url + "/" + tus.begun(b"12345678", 4).rpartition("/")[2]
        paths = [tus.begun(content, size - 1) for _ in range(count)]
        took: list[float] = []
        last: Headers = tus.patching(size - 1)
        scans = [asyncio.create_task(asyncio.to_thread(tus.ask, "PATCH", path, last, content[-1:])) for path in paths]
        began = time.monotonic()
        while not all(scan.done() for scan in scans):
            asked = time.monotonic()
            assert (await tus_requests.head(http, other)).headers["Upload-Offset"] == "4"
            took.append(time.monotonic() - asked)
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - began
        assert {(await scan).status for scan in scans} == {204}
    p99 = percentile(took, 0.99)
    print(
        f"{count} scans of {size // MIB} MiB over {over} took {seconds:.2f} s; of {len(took)} HEADs meanwhile: "
        f"median {percentile(took, 0.5) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, longest {max(took) * 1000:.1f} ms"
    )
    assert p99 < 0.5, "and below 0.1 on a machine that is not busy"


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
