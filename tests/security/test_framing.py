"""HTTP that two readers may read differently (rows S9, S10 and S12)."""

import pytest
from http_connection import Connection, Headers, Tus, path_of, poll
from odd_requests import Row, strike
from server_process import Server

PATCH = (
    b"PATCH %ID HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 5\r\n"
    b"Content-Type: application/offset+octet-stream\r\n"
)
CHUNKED = PATCH + b"Transfer-Encoding: chunked\r\n\r\n"
LONGER = "a chunk longer than its size"
BROKEN: dict[str, bytes] = {
    "size and chunks": PATCH + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "chunks and size": PATCH + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "two equal sizes": PATCH + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nxxxxx",
    "two sizes": PATCH + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nxxxxx",
    "an unknown coding": PATCH + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "chunked is not last": PATCH + b"Transfer-Encoding: chunked, identity\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "gzip in chunks": PATCH + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "identity": PATCH + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nxxxxx",
    "chunked twice": PATCH + b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "two codings": PATCH + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "a tab before the colon": PATCH + b"Transfer-Encoding\t: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "a space before the colon": PATCH + b"Content-Length : 5\r\n\r\nxxxxx",
    "chunks in HTTP/1.0": (CHUNKED + b"5\r\nxxxxx\r\n0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk of 0x5": CHUNKED + b"0x5\r\nxxxxx\r\n0\r\n\r\n",
    "a chunk of +5": CHUNKED + b"+5\r\nxxxxx\r\n0\r\n\r\n",
    "a chunk of -5": CHUNKED + b"-5\r\nxxxxx\r\n0\r\n\r\n",
    "a chunk of 5_0": CHUNKED + b"5_0\r\nxxxxx\r\n0\r\n\r\n",
    "a chunk of no size": CHUNKED + b"\r\nxxxxx\r\n0\r\n\r\n",
    "a huge chunk": CHUNKED + b"f" * 17 + b"\r\nxxxxx\r\n0\r\n\r\n",
    "a chunk that begins after a bare LF": CHUNKED + b"5\nxxxxx\r\n0\r\n\r\n",
    "a bare LF in an extension": CHUNKED + b"5;a\nb\r\nxxxxx\r\n0\r\n\r\n",
    LONGER: CHUNKED + b"4\r\nxxxxx\r\n0\r\n\r\n",
    "a folded header": PATCH + b"X-A: b\r\n c\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a folded header at the start": PATCH.replace(b"\r\n", b"\r\n X: y\r\n", 1) + b"Content-Length: 5\r\n\r\nxxxxx",
    "a NUL in a header": PATCH + b"X-A: b\0c\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a bare CR in a header": PATCH + b"X-A: b\rc\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a header without a name": PATCH + b": b\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a header without a colon": PATCH + b"X-A\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a name with a space": PATCH + b"X A: b\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a name with brackets": PATCH + b"X[A]: b\r\nContent-Length: 5\r\n\r\nxxxxx",
    "no Host": PATCH.replace(b"Host: t\r\n", b"") + b"Content-Length: 5\r\n\r\nxxxxx",
    "two Hosts": PATCH + b"Host: u\r\nContent-Length: 5\r\n\r\nxxxxx",
    "an empty Host": PATCH.replace(b"Host: t", b"Host:") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a Host with a space": PATCH.replace(b"Host: t", b"Host: a b<script>") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a Host with a path": PATCH.replace(b"Host: t", b"Host: t/x") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a Host with a user": PATCH.replace(b"Host: t", b"Host: a@t") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a Host with two ports": PATCH.replace(b"Host: t", b"Host: t:1:2") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a Host of other letters": PATCH.replace(b"Host: t", b"Host: \xc3\xa4") + b"Content-Length: 5\r\n\r\nxxxxx",
    "a method in small letters": (PATCH + b"Content-Length: 5\r\n\r\nxxxxx").replace(b"PATCH", b"patch"),
    "a method with a quote": (PATCH + b"Content-Length: 5\r\n\r\nxxxxx").replace(b"PATCH", b'PA"TCH'),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
    "HTTP/3.0": (PATCH + b"Content-Length: 5\r\n\r\nxxxxx").replace(b"HTTP/1.1", b"HTTP/3.0"),
    "HTTP/1.1.1": (PATCH + b"Content-Length: 5\r\n\r\nxxxxx").replace(b"HTTP/1.1", b"HTTP/1.1.1"),
    "no version": b"GET /files\r\n\r\n",
    "a request line of one word": b"GET\r\n\r\n",
    "bytes": bytes(range(256)) + b"\r\n\r\n",
    "a target without a slash": b"GET files HTTP/1.1\r\nHost: t\r\n\r\n",
    "a tunnel": b"CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n",
    "a long header": PATCH + b"X-A: " + b"a" * 9000 + b"\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a long name": PATCH + b"a" * 9000 + b": b\r\nContent-Length: 5\r\n\r\nxxxxx",
    "many headers": PATCH + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"Content-Length: 5\r\n\r\nxxxxx",
    "a long target": b"GET /files/" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
    "a long query": b"GET %ID?" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
}


SLOW = {name: request for name, request in BROKEN.items() if request.startswith(CHUNKED) and name != LONGER}


@pytest.mark.parametrize("request_", BROKEN.values(), ids=BROKEN.keys())
def test_broken_http_is_refused_and_nothing_of_it_is_kept(server: Server, request_: bytes) -> None:
    strike(server, Row(request_, (400, 404, 405, 414, 431, 501, 505)))


@pytest.mark.parametrize("request_", SLOW.values(), ids=SLOW.keys())
def test_broken_chunks_are_refused_once_a_body_was_asked_for(server: Server, request_: bytes) -> None:
    strike(server, Row(request_, pause_after=len(CHUNKED)))


def test_chunks_before_a_broken_one_count(tus: Tus) -> None:
    path = tus.begun(b"0123456789", 5)
    with Connection(tus.port) as connection:
        connection.send(
            tus.request("PATCH", path, tus.patching(5, {"Content-Length": None, "Transfer-Encoding": "chunked"}))
        )
        connection.send(b"3\r\n567\r\n")
        poll(lambda: b'"uploading"' in tus.progress(path))
        connection.send(b"1\r\n8...\r\n")
        assert connection.answer().status == 400
    tus.check_holds(path, b"0123456789", 9)


@pytest.mark.parametrize(
    ("request_", "status"), [(b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 10_000), 431), (b"GET / HTTP/xxx\r\n\r\n", 400)]
)
def test_what_is_no_http_is_refused_in_the_words_of_every_other_refusal(tus: Tus, request_: bytes, status: int) -> None:
    with Connection(tus.port) as connection:
        connection.send(request_)
        answer = connection.answer()
    assert (answer.status, answer["Content-Type"]) == (status, "application/problem+json")
    assert (answer["Tus-Resumable"], answer["X-Content-Type-Options"]) == ("1.0.0", "nosniff")
    assert b"xxx" not in answer.body


@pytest.mark.parametrize("target", ["https://evil.example", "http://evil.example:80", "http://user@evil.example"])
def test_an_absolute_target_names_no_host(tus: Tus, target: str) -> None:
    answer = tus.ask("POST", f"{target}/files", {"Upload-Length": "5"})
    assert (answer.status, answer["Location"]) == (201, path_of(answer["Location"]))


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0, HTTP/1.1"])
def test_an_upgrade_of_an_append_is_none(tus: Tus, upgrade: str) -> None:
    path = tus.begun(b"0123456789", 5)
    answer = tus.patch(
        path, 5, b"56789", {"Connection": "close, Upgrade", "Upgrade": upgrade, "HTTP2-Settings": "AAMAAABk"}
    )
    assert (answer.status, answer["Upload-Offset"]) == (204, "10")


def test_nothing_is_smuggled_in_the_body_of_an_upgrade(tus: Tus) -> None:
    path = tus.begun(b"0123456789", 5)
    inner = tus.request("DELETE", path)
    headers: Headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Content-Length": str(len(inner)),
    }  # fmt: skip
    with Connection(tus.port) as connection:
        connection.send(tus.request("GET", f"{path}/progress", headers) + inner)
        assert connection.answer().status in (101, 400)
        connection.finish()
        assert b"HTTP/1.1" not in connection.read_rest()
    assert tus.offset(path) == 5


def test_pipelined_requests_are_answered_in_their_order(tus: Tus) -> None:
    path = tus.begun(b"0123456789", 5)
    with Connection(tus.port) as connection:
        connection.send(
            tus.request("HEAD", path) + tus.request("PATCH", path, tus.patching(5), b"56789") + tus.request("GET", path)
        )
        assert connection.answer("HEAD")["Upload-Offset"] == "5"
        assert connection.answer()["Upload-Offset"] == "10"
        assert connection.answer().body == b"0123456789"


def test_a_head_without_an_end_is_no_request(tus: Tus) -> None:
    with Connection(tus.port) as connection:
        connection.send(b"GET /files HTTP/1.1\r\nHost: t\r\n")
        connection.finish()
        assert not connection.read_rest().startswith(b"HTTP/1.1 2")
