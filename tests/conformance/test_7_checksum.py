"""Checksums (checks 96 to 106)."""

import hashlib
import json
import re
import time
import zlib
from base64 import b64encode

from conformance import check
from http_connection import OCTETS, Connection, Headers, Tus, chunked, path_of, poll
from server_process import Server, Start

DATA = bytes(range(256)) * 40
HALF = len(DATA) // 2
ALGORITHMS = [
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3-256",
    "sha3-512",
    "blake2b",
    "md5",
    "crc32",
    "adler32",
]


def digest(algorithm: str, data: bytes) -> bytes:
    match algorithm:
        case "crc32":
            return zlib.crc32(data).to_bytes(4, "big")
        case "adler32":
            return zlib.adler32(data).to_bytes(4, "big")
        case _:
            return hashlib.new(algorithm.replace("sha3-", "sha3_").replace("blake2b", "blake2b512"), data).digest()


def checksum(data: bytes, algorithm: str = "sha1") -> Headers:
    return {"Upload-Checksum": f"{algorithm} {b64encode(digest(algorithm, data)).decode()}"}


def offered(tus: Tus) -> list[str]:
    return tus.ask("OPTIONS", tus.files)["Tus-Checksum-Algorithm"].split(",")


@check(96, "MUST", "OPTIONS offers checksum, and tells the algorithms, SHA-1 among them")
def test_096_checksum_is_offered(tus: Tus, start: Start) -> None:
    assert "checksum" in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    assert "sha1" in offered(tus)
    bare = start("--without=checksum").tus
    told = bare.ask("OPTIONS", bare.files)
    assert "checksum" not in told["Tus-Extension"].split(",")
    assert "Tus-Checksum-Algorithm" not in told
    path = bare.create(10)
    assert bare.patch(path, 0, b"0123", checksum(b"other")).status == 204
    bare.check_holds(path, b"0123456789", 4)


@check(97, "MUST", "Names of algorithms are ASCII without upper case")
def test_097_names_of_algorithms(tus: Tus) -> None:
    assert sorted(offered(tus)) == sorted(ALGORITHMS)
    assert all(re.fullmatch("[!-+.-@[-~-]+", name) for name in offered(tus))


@check(98, "MUST", "PATCH with the right SHA-1 is stored")
def test_098_right_sha1(tus: Tus) -> None:
    path = tus.create(len(DATA))
    for at in (0, HALF):
        body = DATA[at : at + HALF]
        answer = tus.patch(path, at, body, checksum(body))
        assert (answer.status, answer["Upload-Offset"]) == (204, str(at + HALF))
    tus.check_holds(path, DATA, len(DATA))


@check(99, "implied", "PATCH is verified with each algorithm that is told")
def test_099_each_algorithm(tus: Tus) -> None:
    for name in offered(tus):
        path = tus.begun(DATA, 1000)
        assert (name, tus.patch(path, 1000, DATA[1000:], checksum(DATA, name)).status) == (name, 460)
        answer = tus.patch(path, 1000, DATA[1000:HALF], checksum(DATA[1000:HALF], name))
        assert (name, answer.status) == (name, 204)
        tus.check_holds(path, DATA, HALF)


@check(100, "MUST", "PATCH with a wrong digest is 460, its bytes are discarded, and the upload goes on")
def test_100_wrong_digest(tus: Tus) -> None:
    path = tus.begun(DATA, HALF)
    wrong = b"\xff" * HALF
    for body, parts in ((wrong, None), (wrong[1:], None), (b"", [wrong[:100], wrong[100:]]), (b"", [wrong[2:]])):
        answer = tus.patch(path, HALF, body, checksum(DATA[HALF:]), parts)
        assert answer.status == 460
        assert json.loads(answer.body)["code"] == "body-checksum-mismatch"
        assert tus.offset(path) == HALF
    tus.check_holds(path, DATA, HALF)
    empty = tus.create(len(DATA))
    assert tus.patch(empty, 0, DATA, checksum(DATA[1:])).status == 460  # the last byte was in, and nothing completes
    tus.check_holds(empty, DATA, 0)


@check(101, "MUST NOT", "An unknown algorithm is 400, and changes nothing")
def test_101_unknown_algorithm(tus: Tus) -> None:
    path = tus.begun(DATA, HALF)
    for name in ("foo", "sha2", "sha-1", "SHA1"):
        headers: Headers = {"Upload-Checksum": f"{name} {b64encode(digest('sha1', DATA[HALF:])).decode()}"}
        assert (name, tus.patch(path, HALF, DATA[HALF:], headers).status) == (name, 400)
    tus.check_holds(path, DATA, HALF)


@check(102, "convention", "A malformed Upload-Checksum is 400, and changes nothing")
def test_102_malformed_checksum(tus: Tus) -> None:
    path = tus.begun(DATA, HALF)
    right = b64encode(digest("sha1", DATA[HALF:])).decode()
    for value in (
        "",
        "sha1",
        right,
        f"sha1{right}",
        "sha1 ???",
        f"sha1 {right[:-1]}",
        "sha1 YQ==",
        f"sha256 {right}",
        f"sha1 {right} x",
        f"sha1  {right}",
        f"sha1 {right},sha1 {right}",
        "crc32 AAAAAAA=",
    ):
        assert (value, tus.patch(path, HALF, DATA[HALF:], {"Upload-Checksum": value}).status) == (value, 400)
    tus.check_holds(path, DATA, HALF)


@check(103, "implied", "Of a body that is cut while a digest was announced nothing is kept")
def test_103_cut_body(tus: Tus) -> None:
    for fate in ("FIN", "RST", "HEAD"):
        path = tus.begun(DATA, HALF)
        length: Headers = {"Content-Length": str(HALF), "Expect": "100-continue"}
        with Connection(tus.port) as connection:
            connection.send(tus.request("PATCH", path, tus.patching(HALF, checksum(DATA[HALF:]) | length)))
            assert connection.answer().status == 100
            connection.send(DATA[HALF:-1])
            time.sleep(0.6)  # time enough to record a part of the body, if it did so
            assert json.loads(tus.progress(path))["uploadedBytes"] == HALF
            if fate == "FIN":
                connection.finish()
                connection.read_rest()
            elif fate == "RST":
                connection.reset()
            else:
                assert tus.offset(path) == HALF
                assert connection.answer().status == 423
        poll(lambda: json.loads(tus.progress(path))["status"] == "paused")  # noqa: B023
        tus.check_holds(path, DATA, HALF)


@check(104, "implied", "The body of a POST is verified as that of a PATCH")
def test_104_creation_with_upload(tus: Tus, server: Server) -> None:
    size: Headers = {"Upload-Length": str(len(DATA)), "Content-Type": OCTETS}
    answer = tus.post(size | checksum(DATA[:HALF]), DATA[:HALF])
    assert (answer.status, answer["Upload-Offset"]) == (201, str(HALF))
    tus.check_holds(path_of(answer["Location"]), DATA, HALF)
    for body in (DATA[:HALF], DATA):
        answer = tus.post(size | checksum(b"other"), body)
        assert answer.status == 460
        tus.check_holds(path_of(answer["Location"]), DATA, 0)
    before = server.ids()
    for value in ("foo YQ==", "sha1 YQ==", "sha1"):
        answer = tus.post(size | {"Upload-Checksum": value}, DATA[:HALF])
        assert (value, answer.status) == (value, 400)
        assert "Location" not in answer
    assert server.ids() == before


@check(105, "MUST", "OPTIONS offers no checksum-trailer, since trailers of requests are not read")
def test_105_no_checksum_trailer(tus: Tus) -> None:
    assert "checksum-trailer" not in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")


@check(
    106,
    "MUST",
    "A digest in a trailer verifies the body",
    not_offered="aiohttp discards the trailers of requests, so a digest there can't be seen; OPTIONS doesn't list it",
)
def test_106_digest_in_a_trailer(tus: Tus) -> None:
    assert "checksum-trailer" not in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    for digested in (DATA[:HALF], b"other"):
        path = tus.create(len(DATA))
        framing: Headers = {"Content-Length": None, "Transfer-Encoding": "chunked", "Trailer": "Upload-Checksum"}
        with Connection(tus.port) as connection:
            trailer = f"Upload-Checksum: {checksum(digested)['Upload-Checksum']}\r\n\r\n".encode()
            body = chunked([DATA[:HALF]]) + b"0\r\n" + trailer
            connection.send(tus.request("PATCH", path, tus.patching(0, framing)) + body)
            assert connection.answer().status == 400  # what is not verified is not taken
        tus.check_holds(path, DATA, 0)
