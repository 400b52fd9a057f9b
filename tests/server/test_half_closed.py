"""A client that has said all it has to say, and sends FIN, gets its answer; one that has not is done with at once."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import http_connection as raw
import pytest
from http_connection import OCTETS, UNKNOWN, Connection, Headers, Tus, path_of
from redis_process import RedisProcess
from server_process import serving


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, redis_process: RedisProcess) -> Iterator[Mapping[str, Tus]]:
    with ExitStack() as stack:
        redis_process.flush()
        folder = tmp_path_factory.mktemp("half_closed")
        states = {"sqlite": "sqlite:", "redis": redis_process.url}
        yield {
            name: stack.enter_context(serving(folder / name, [f"--state={state}"])).tus
            for name, state in states.items()
        }


SIZES = [1000, 100_000, 2**17, 2**21]  # bytes: read with the head, by aiohttp, and from the socket
TIMES = 5
WATCHING: dict[str, Headers] = {
    "events": {"Accept": "text/event-stream"},
    "WebSocket": {
        "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    },
}  # fmt: skip


def answer_of(tus: Tus, request: bytes, method: str) -> raw.Answer:
    """Send a request and FIN right after it; nothing but its answer comes, and the connection ends."""
    with Connection(tus.port) as connection:
        connection.send(request)
        connection.finish()
        answer = connection.answer(method)
        assert connection.read_rest() == b""
        return answer


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
def test_a_body_is_answered(tus: Tus, size: int, chunked: bool) -> None:
    for _ in range(TIMES):
        data = os.urandom(size)
        path, words = tus.create(size), tus.patching(0)
        parts = [data[: size // 2], data[size // 2 :]] if chunked else None
        request = tus.request("PATCH", path, words, b"" if chunked else data, parts)
        answer = answer_of(tus, request, "PATCH")
        assert (answer.status, answer["Upload-Offset"]) == (204, str(size))
        assert tus.ask("GET", path).body == data


def test_a_creation_is_answered(tus: Tus) -> None:
    for body in (b"", b"12345"):
        words: Headers = {"Upload-Length": "5", "Content-Type": OCTETS if body else None}
        answer = answer_of(tus, tus.request("POST", tus.files, words, body), "POST")
        assert answer.status == 201
        assert tus.offset(path_of(answer["Location"])) == len(body)


def test_what_has_no_body_is_answered(tus: Tus) -> None:
    path = tus.stored(b"12345")
    assert answer_of(tus, tus.request("HEAD", path), "HEAD").status == 200
    assert answer_of(tus, tus.request("DELETE", path), "DELETE").status == 204


@pytest.mark.parametrize("pieces", [True, False], ids=["in pieces", "at once"])
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_requests_that_wait_for_their_turn_are_answered(servers: Mapping[str, Tus], store: str, pieces: bool) -> None:
    tus = servers[store]
    for order in ("HHH", "PPH", "CHC", "CCC", "HPHPH", "PLH", "LHP", "H?H"):
        path, offset, requests = tus.create(10**6), 0, []
        for kind in order:
            body = {"P": b"short", "L": b"l" * 200_000}.get(kind, b"")
            requests.append(
                {
                    "H": tus.request("HEAD", path),
                    "C": tus.request("POST", tus.files, {"Upload-Length": "5", "Content-Type": OCTETS}, b"12345"),
                    "?": tus.request("HEAD", f"{tus.files}/{UNKNOWN}"),
                }.get(kind)
                or tus.request("PATCH", path, tus.patching(offset), body)
            )
            offset += len(body)
        with Connection(tus.port) as connection:
            for piece in requests if pieces else [b"".join(requests)]:
                connection.send(piece)
            connection.finish()
            statuses = {"H": 200, "C": 201, "?": 404}
            for kind in order:
                answer = connection.answer("HEAD" if kind in "H?" else "")
                assert answer.status == statuses.get(kind, 204), (order, kind, answer)
            assert connection.read_rest() == b""
        assert tus.offset(path) == offset


@pytest.mark.parametrize("last", ["GET", "half a PATCH"])
def test_what_cannot_be_answered_takes_no_answer_from_the_requests_before_it(tus: Tus, last: str) -> None:
    path = tus.create(100)
    ends = {
        "GET": tus.request("GET", f"{path}/progress", WATCHING["events"]),
        "half a PATCH": tus.request("PATCH", path, tus.patching(0), b"1" * 100)[:-50],
    }
    with Connection(tus.port) as connection:
        connection.send(tus.request("HEAD", path) * 2 + ends[last])
        connection.finish()
        for _ in range(2):
            assert connection.answer("HEAD").status == 200
        connection.read_rest()  # a GET whose turn came in time has begun its answer
    assert tus.offset(path) in (0, 50)  # the same of a PATCH


@pytest.mark.parametrize("size", SIZES)
def test_half_a_body_is_kept_and_not_taken_for_all(tus: Tus, size: int) -> None:
    data = os.urandom(size)
    path, half = tus.create(size), size // 2
    with Connection(tus.port) as connection:
        whole = tus.request("PATCH", path, tus.patching(0), data)
        connection.send(whole[: len(whole) - (size - half)])
        connection.finish()
        assert connection.read_rest()[9:12] in (b"", b"503")
    raw.poll(lambda: b'"paused"' in tus.progress(path))
    tus.check_holds(path, data, half)


def test_an_idle_connection_ends(tus: Tus) -> None:
    with Connection(tus.port) as connection:
        connection.send(tus.request("OPTIONS", tus.files))
        assert connection.answer().status == 204
        connection.finish()
        assert connection.read_rest() == b""
    with Connection(tus.port) as connection:
        connection.finish()
        assert connection.read_rest() == b""


@pytest.mark.parametrize("kind", WATCHING)
@pytest.mark.parametrize("joined", [False, True], ids=["at once", "later"])
def test_a_watcher_ends(tus: Tus, kind: str, joined: bool) -> None:
    with Connection(tus.port) as connection:
        connection.send(tus.request("GET", f"{tus.create(1)}/progress", WATCHING[kind]))
        if joined:
            connection.read_line(b'"pending"')
        connection.finish()
        connection.read_rest()
    metrics = b"onward_watchers 0.0\n"
    raw.poll(lambda: metrics in tus.ask("GET", "/metrics").body)
