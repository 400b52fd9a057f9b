"""A disk that is full, broken, read-only, and a process without descriptors: clear answers, nothing lost, all goes on."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from http_connection import Connection, Tus, poll
from mounts import loop_disk, tmpfs
from redis_process import RedisProcess
from server_process import serving

MIB = 2**20


@contextmanager
def ballast(folder: Path, leave: int = 0) -> Iterator[None]:
    """Fill a file system, but for some bytes."""
    path = folder / "ballast"
    with path.open("wb") as file:
        try:
            room = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - leave)
            yield
        finally:
            path.unlink()


def ready(tus: Tus) -> bool:
    """Ask whether a server is ready."""
    status = tus.ask("GET", "/readyz").status
    assert status in (200, 503)
    return status == 200


@pytest.mark.parametrize("reserve", [0, 2 * MIB])
@pytest.mark.parametrize("state", ["sqlite", "redis"])
def test_a_full_disk_refuses_bytes_and_nothing_else(
    state: str, reserve: int, tmp_path: Path, redis_process: RedisProcess
) -> None:
    redis_process.flush()
    words = (f"--reserve={reserve}", *(["--state=" + redis_process.url] if state == "redis" else []))
    with tmpfs(tmp_path / "disk", 24 * MIB) as disk, serving(disk / "data", words, log=tmp_path / "log") as server:
        tus, data = server.tus, os.urandom(8 * MIB)
        done = tus.stored(data[:MIB])
        doomed, begun = tus.begun(data[:MIB], MIB // 2), tus.begun(data, MIB)
        with ballast(disk, 3 * MIB):
            time.sleep(1.1)  # the room is looked at once a second
            answer = tus.patch(begun, MIB, data[MIB:])
            assert answer.status == 507, answer
            offset = tus.offset(begun)
            assert offset == MIB if reserve else MIB <= offset < 4 * MIB
            assert tus.patch(begun, offset, data[offset:]).status == 507
            assert tus.offset(begun) >= offset
        with ballast(disk):
            offset = tus.offset(begun)
            assert tus.patch(begun, offset, data[offset:]).status == 507
            assert tus.offset(begun) == offset
            assert tus.ask("GET", done).body == data[:MIB]
            assert tus.offset(doomed) == MIB // 2
            poll(lambda: b"ready, but full: " in tus.ask("GET", "/readyz").body)
            assert ready(tus), "an orchestrator would keep the requests away that make room"
            assert tus.ask("DELETE", doomed).status == 204
            assert tus.head(doomed).status == 410
        poll(lambda: tus.ask("GET", "/readyz").body == b"ready\n")
        tus.check_holds(begun, data, offset)
        assert tus.stored(data[:MIB])


def test_a_broken_disk_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    broken, program = tmp_path / "broken", str(Path(__file__).parents[1] / "support" / "broken_disk_server.py")
    with serving(tmp_path / "data", program=(program, str(broken))) as server:
        tus, data = server.tus, os.urandom(2 * MIB)
        begun, other = tus.begun(data, MIB), tus.create(MIB)
        for _ in range(2):
            broken.touch()
            for path, offset in ((begun, MIB), (other, 0)):
                answer = tus.patch(path, offset, data[offset:MIB] or data[offset:])
                assert (answer.status, answer["Retry-After"]) == (503, "1")
                assert tus.offset(path) == offset
            poll(lambda: not ready(tus))
            broken.unlink()
            poll(lambda: ready(tus))
        tus.check_holds(begun, data, MIB)
        tus.check_holds(other, data[:MIB], 0)


def test_each_refusal_of_the_storage_is_logged_with_its_reason(tmp_path: Path) -> None:
    broken, program = tmp_path / "broken", str(Path(__file__).parents[1] / "support" / "broken_disk_server.py")
    log = tmp_path / "data.log"

    def reasons(words: str) -> int:
        return sum(words.lower() in line.lower() for line in log.read_text().splitlines())

    with serving(tmp_path / "data", program=(program, str(broken))) as server:
        tus, data = server.tus, os.urandom(MIB)
        begun, done = tus.begun(data, 10), tus.stored(data)
        parts = [tus.stored(data, {"Upload-Concat": "partial"}) for _ in range(2)]
        broken.touch()
        answers = [tus.patch(begun, 10, data[10:])]
        answers.append(tus.post({"Upload-Length": str(len(data))}, data))
        answers.append(tus.post({"Upload-Concat": f"final;{' '.join(parts)}"}))
        assert {answer.status for answer in answers} <= {201, 503}, answers
        assert reasons("input/output error") == len(answers)
        broken.unlink()
        assert tus.post({"Upload-Length": str(2**60)}).status == 507
        assert reasons("POST '/files': There is no room") == 1
        server.bytes_of(done)[0].unlink()
        assert tus.ask("GET", done).status == 410
        assert reasons("GET '/files/") == 2, "the fault, and the request"


def test_a_disk_that_turns_read_only_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    with loop_disk(tmp_path / "disk", 64 * MIB) as disk:
        data = os.urandom(8 * MIB)
        with (
            serving(disk.folder / "data", ["--reserve=0"], log=tmp_path / "log") as server,
            Connection(server.tus.port) as connection,
        ):
            tus = server.tus
            begun, idle = tus.create(len(data)), tus.begun(data, MIB)
            connection.send(tus.request("PATCH", begun, tus.patching(0, {"Content-Length": str(len(data))})))
            connection.send(data[:MIB])
            poll(lambda: b'"uploadedBytes": 0' not in tus.progress(begun))
            disk.fail()
            connection.send(data[MIB:])
            answer = connection.answer()
            assert (answer.status, answer["Retry-After"]) == (503, "1")
            assert tus.patch(idle, MIB, data[MIB:]).status == 503
            assert tus.post({"Upload-Length": "1"}).status == 503
            poll(lambda: not ready(tus))
            assert tus.ask("GET", "/healthz").status == 200
            told = tus.progress(begun)
        disk.mend()
        with serving(disk.folder / "data", ["--reserve=0"], log=tmp_path / "log") as server:
            tus = server.tus
            assert tus.progress(begun) == told
            tus.check_holds(begun, data, tus.offset(begun))
            tus.check_holds(idle, data, MIB)
            poll(lambda: ready(tus))


def test_a_process_without_descriptors_survives(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, ExitStack() as stack:
        tus, data = server.tus, os.urandom(MIB)
        begun = tus.begun(data, 1000)
        used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
        crowd = [stack.enter_context(Connection(tus.port)) for _ in range(12)]
        for each in crowd[:2]:
            each.send(tus.request("PATCH", begun, tus.patching(1000, {"Content-Length": "9"})))
        time.sleep(1.5)
        for each in crowd:
            each.close()
        poll(lambda: tus.offset(begun) == 1000)
        assert server.process.poll() is None
        assert "no connection can be accepted at the moment" in (tmp_path / "data.log").read_text(), (
            "the descriptors were not used up"
        )
        answer = tus.patch(begun, 1000, data[1000:])
        assert answer.status == 204, answer
        assert tus.ask("GET", begun).body == data
