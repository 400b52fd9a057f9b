"""Hostile forms and PUTs: each is refused or harmless, none is a fault of the server, and nothing half is kept."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import product

import pytest
from form_bodies import BOUNDARY, field, file, form, headers
from http_connection import Answer, Connection, Headers, Tus, poll
from odd_requests import files
from server_process import Server

from onward.protocol.headers import build_repr_digest

OPTIONS = (
    "--durability=none",
    "--sweep-every=0.2",
    "--quiet-after=0.3",
    "--body-idle=1",
    "--release-after=0",
    "--max-size=1MB",
)
GOOD = "Content-Disposition: form-data; name=f; filename=a"
DATA = b"kept by nobody"
# The heads of parts that no browser writes, as they go over the line, with the empty line at their end.
HEADS = (
    b"", b"\r\n", b"\n", b"\n\n", b"\r", b"\r\r\n\r\n", b"X\r\n\r\n", b": \r\n\r\n", b":\r\n\r\n", b" \r\n\r\n", b"\t\r\n\r\n",
    b"Content-Disposition\r\n\r\n", b"Content-Disposition:\r\n\r\n", b"Content-Disposition: attachment; name=f\r\n\r\n",
    b"Content-Disposition: inline; name=f; filename=a\r\n\r\n", b"Content-Disposition: ; name=f\r\n\r\n",
    b"Content-Type: text/plain\r\n\r\n", b"Content-Disposition form-data; name=f\r\n\r\n",
    b"Content-Disposition: form-data; name=f; filename=a\n\n", b"Content-Disposition: form-data; name=f\nX: y\r\n\r\n",
    b" Content-Disposition: form-data; name=f; filename=a\r\n\r\n", b"Content Disposition: form-data; name=f\r\n\r\n",
    b"Content-Disposition: \xff\xfe; name=f\r\n\r\n", GOOD.encode() + b"\xff\r\n\r\n", b"\xff" * 20 + b": x\r\n\r\n",
    b"(Content-Disposition): form-data; name=f\r\n\r\n", b"\0: x\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Length: 99\r\n\r\n", GOOD.encode() + b"\r\nContent-Length: 1\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Length: -1\r\n\r\n", GOOD.encode() + b"\r\nContent-Length: +14\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Length: 1_4\r\n\r\n", GOOD.encode() + b"\r\nContent-Length: 014\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Length: 14\r\nContent-Length: 14\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    GOOD.encode() + b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    GOOD.encode() + b"; filename*=a\r\n\r\n", GOOD.encode() + b"; filename*=latin1''a\r\n\r\n",
    GOOD.encode() + b"; filename*=UTF-8''%FF\r\n\r\n", GOOD.encode() + b"; filename*=''\r\n\r\n",
    b"X: " + b"y" * 4200 + b"\r\n" + GOOD.encode() + b"\r\n\r\n", b"x" * 5000 + b"\r\n\r\n", b"x" * 200_000,
    b"X: y\r\n" * 9 + GOOD.encode() + b"\r\n\r\n", b"X: y\r\n" * 10_000 + b"\r\n", GOOD.encode() + b"\r\n",
    GOOD.encode(), GOOD.encode() + b"\r\nX\r\n\r\n", b"\r\n\r\n" + GOOD.encode(),
)  # fmt: skip
MARK = f"--{BOUNDARY}".encode()
# Forms whose boundaries are wrong; a % stands for a part that is whole.
FRAMES = (
    b"", b"\r\n", b"x", b"--", MARK[:-1], MARK, MARK + b"-", MARK + b"\n%" + MARK + b"--", MARK + b"x\r\n%" + MARK + b"--",
    b"preamble\r\n" + MARK + b"\r\n%" + MARK + b"--", MARK.upper() + b"\r\n%" + MARK + b"--", b"\n" + MARK + b"\r\n%",
    b"-" + MARK + b"\r\n%" + MARK + b"--", MARK + b"\r\n%", MARK + b"\r\n%" + MARK, MARK + b"\r\n%" + MARK + b"-",
    MARK + b"\r\n%" + MARK + b"\n", MARK + b"\r\n%" + MARK + b"- -", MARK + b"\r\n%" + MARK + b"\r\n",
    MARK + b"\r\n%" + MARK + b"\r\n" + MARK + b"--", MARK + b"\r\n" + MARK + b"--", (MARK + b"\r\n") * 500, b"\0" * 300_000,
    b"\r\n" * 100_000, MARK * 1000, b"a=b&c=d", b'{"a": "b"}', b"\x1f\x8b\x08" + bytes(100), bytes(range(256)) * 50,
)  # fmt: skip
TYPES = (
    "", "; boundary", "; boundary=", '; boundary=""', "; boundary=" + "b" * 71, "; boundary=a\tb", '; boundary="a b "',
    "; boundary=ä", "; boundary=a\x7f", '; boundary="\\"', "; Boundary", "; charset=utf-8", ";;;", "; boundary*=b",
    "; boundary=[x]", "; =boundary",
)  # fmt: skip
NAMES = (
    "..", ".", "%2e%2e", "%2E", "a%2fb", "%2f", "..%2f..%2fetc%2fpasswd", "a%00", "%00", "a%0d%0aSet-Cookie:%20x=y", "%01",
    "%1b[31m", "%7f", "%c2%80", "%ff", "%c3", "%c3%28", "%ed%a0%80", "%f5%80%80%80", "%c0%ae%c0%ae", "\xff", "\xc3(",
    "n" * 1001, "%41" * 1001, "%c3%a4" * 501,
)  # fmt: skip
ODD_NAMES = (
    "...", "..a", "a..", ".hidden", "%252e%252e", "%", "%%", "%2", "%zz", "C:%5C..%5Cx", "con", "-rf", "~root", "$HOME", "`id`",
    "<script>", "a;b", "a&b", "%e2%80%ae", "files", "0" * 31, "0" * 33, "state.sqlite", "healthz", "progress", "'", "{id}", "*",
    "n" * 1000,
)  # fmt: skip
PUTS: tuple[tuple[Headers, tuple[int, ...]], ...] = (
    ({"Content-Range": "bytes 0-4/5"}, (400,)), ({"Content-Range": "x"}, (400,)), ({"Content-Encoding": "gzip"}, (415,)),
    ({"Content-Encoding": "gzip, identity"}, (415,)), ({"If-Match": '"a"'}, (412,)), ({"If-Match": "*"}, (412,)),
    ({"Repr-Digest": "sha-256=::"}, (400,)), ({"Repr-Digest": "x"}, (400,)), ({"Content-Digest": "sha-256=:AA==:"}, (400,)),
    ({"Repr-Digest": build_repr_digest(bytes(32)), "Content-Digest": build_repr_digest(b"\1" * 32)}, (400,)),
    ({"Repr-Digest": build_repr_digest(bytes(32))}, (460,)), ({"Content-Digest": build_repr_digest(bytes(32))}, (460,)),
    ({"Content-Length": "-5"}, (400,)), ({"Content-Length": "0x5"}, (400,)), ({"Content-Length": "5, 5"}, (400,)),
    ({"Content-Length": "9" * 30}, (400, 413)), ({"Content-Length": str(2**63)}, (400, 413)),
    ({"Transfer-Encoding": "gzip"}, (400,)), ({"Expect": "a pony"}, (417,)), ({"Content-Length": "1000001"}, (413,)),
    ({"X-HTTP-Method-Override": "PATCH"}, (404,)), ({"X-HTTP-Method-Override": "put"}, (404,)),
    ({"Tus-Resumable": "0.2", "X-HTTP-Method-Override": "POST"}, (404,)),
)  # fmt: skip


def strike(server: Server, request: bytes) -> Answer:
    """Send a request; check that there is one answer, which tells nothing of the server."""
    with Connection(server.tus.port) as connection:
        with suppress(ConnectionError):
            connection.send(request)
        answer = connection.answer()
        with suppress(OSError):
            connection.finish()
        assert not re.search(rb"HTTP/1\.[01] [0-9]{3} ", connection.read_rest()), "a second answer"
    for secret in (b"Traceback", str(server.data).encode(), b"site-packages", b'.py"', b"multipart.py"):
        assert secret not in answer.body
    assert "set-cookie" not in answer
    return answer


def folders(server: Server) -> set[str]:
    """Give the names of all folders in and beside the data folder."""
    return {str(each) for each in server.data.parent.rglob("*") if each.is_dir()}


def malformed() -> Iterator[bytes]:
    """Give forms that no client may send: wrong heads first and second, wrong frames, each as a whole request body."""
    good = MARK + b"\r\n" + GOOD.encode() + b"\r\n\r\n" + DATA + b"\r\n"
    for head, before, end in product(HEADS, (b"", good), (MARK + b"--\r\n", MARK + b"\r\n")):
        if end == MARK + b"--\r\n" or head:
            yield before + MARK + b"\r\n" + head + DATA + b"\r\n" + end
    for frame in FRAMES:
        yield frame.replace(b"%", good.removeprefix(MARK + b"\r\n"))


def requests(tus: Tus, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Write each body as a request, every other one in chunks."""
    for number, body in enumerate(bodies):
        sent = [body[:100], body[100:]] if number % 2 and len(body) > 100 else None
        yield tus.request("POST", tus.files, headers(None if sent else len(body)), body, sent)


def test_malformed_forms_are_refused(server: Server) -> None:
    before, count = files(server), 0
    for request in requests(server.tus, malformed()):
        answer = strike(server, request)
        assert 400 <= answer.status < 500, (request[:500], answer)
        told = json.loads(answer.body)
        assert re.fullmatch("[A-Za-z\\d '*,:.;-]+", told["detail"]), told
        assert told["uploads"] == [] or all(each["status"] != "uploading" for each in told["uploads"])
        for upload in told["uploads"]:
            assert server.tus.ask("DELETE", f"/files/{upload['uploadId']}").status in (204, 410)
        count += 1
    assert count >= 200
    poll(lambda: files(server) - before == set())


def test_content_types_that_name_no_boundary_are_refused(server: Server) -> None:
    body = form(file("a", DATA))
    for each in TYPES:
        type_: Headers = {
            "Content-Type": f"multipart/form-data{each}",
            "Content-Length": str(len(body)),
            "Tus-Resumable": None,
        }
        request = server.tus.request("POST", "/files", {**type_, "Content-Type": None}).removesuffix(b"\r\n")
        request += f"Content-Type: multipart/form-data{each}\r\n\r\n".encode() + body
        assert strike(server, request).status in (400, 412, 415), each
    twice = headers(len(body), {"content-type": "multipart/form-data; boundary=other"})
    assert strike(server, server.tus.request("POST", "/files", twice, body)).status == 400
    assert (
        strike(
            server, server.tus.request("POST", "/files", headers(len(body), {"Content-Encoding": "gzip"}), body)
        ).status
        == 415
    )


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_form_in_another_method_is_none(server: Server, method: str) -> None:
    body = form(file("a", DATA))
    answer = strike(server, server.tus.request(method, "/files", headers(len(body)), body))
    assert answer.status in (400, 404, 405)


def test_names_in_a_form_lead_nowhere(server: Server) -> None:
    before = folders(server)
    names = [
        "../../etc/passwd",
        "..\\..\\x",
        "/etc/passwd",
        "C:\\x",
        "a%00b",
        "a%0D%0ASet-Cookie: x",
        "..",
        ".",
        "x" * 3000,
        "\u202eexe.fdp",
    ]
    for name in names:
        for part in (file(name, DATA), field(name, DATA)):
            answer = strike(server, server.tus.request("POST", "/files", *_sized(form(part, file("b", DATA)))))
            assert answer.status == 201, name
            for upload in json.loads(answer.body)["uploads"]:
                assert upload["path"] == upload["uploadId"]
                assert server.tus.head(f"/files/{upload['uploadId']}").status == 200
    assert folders(server) == before


def _sized(body: bytes) -> tuple[Headers, bytes]:
    return headers(len(body)), body


@pytest.mark.parametrize("name", NAMES)
def test_what_no_file_can_be_called_is_refused(server: Server, name: str) -> None:
    request = server.tus.request("PUT", f"/files/{name}", {"Content-Length": "5"}, b"01234")
    assert strike(server, request).status in (400, 404)


def test_odd_names_are_only_names(server: Server) -> None:
    before = folders(server)
    for name in ODD_NAMES:
        answer = strike(server, server.tus.request("PUT", f"/files/{name}", {"Content-Length": "5"}, b"01234"))
        assert answer.status == 201, name
        assert server.tus.ask("GET", f"/files/{json.loads(answer.body)['uploadId']}").body == b"01234"
    assert folders(server) == before


@pytest.mark.parametrize(("sent", "allowed"), PUTS, ids=[str(number) for number in range(len(PUTS))])
def test_a_put_that_means_something_else_is_refused(server: Server, sent: Headers, allowed: tuple[int, ...]) -> None:
    known: Headers = {"Content-Length": "5", "Tus-Resumable": None}
    if "Transfer-Encoding" in sent:
        known["Content-Length"] = None
    assert strike(server, server.tus.request("PUT", "/files/a", known | sent, b"01234")).status in allowed


@pytest.mark.parametrize(
    "path", ["/files", "/files/", "/files/a/b", "/files//", "//files/a", "/a", "/files/a/", "*", "/"]
)
def test_a_put_elsewhere_is_none(server: Server, path: str) -> None:
    request = server.tus.request("PUT", path, {"Content-Length": "5"}, b"01234")
    assert strike(server, request).status in (400, 404, 405)


def test_forms_that_never_end_are_ended(server: Server) -> None:
    starts = (
        b"", MARK[:5], MARK, MARK + b"\r\nContent-Disposition: form-da", MARK + b"\r\n" + GOOD.encode() + b"\r\n\r\n",
        MARK + b"\r\n" + GOOD.encode() + b"\r\n\r\n" + DATA, MARK + b"--\r\n",
    )  # fmt: skip
    with ExitStack() as stack:
        lines = [stack.enter_context(Connection(server.tus.port)) for _ in starts]
        for start, line in zip(starts, lines, strict=True):
            line.send(server.tus.request("POST", "/files", headers(1000)) + start)
        assert {line.answer().status for line in lines} == {423}
    poll(lambda: not server.ids())
