"""The grammar of header values: what is read, what is refused, and that nothing else ever happens."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.protocol import headers
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import BadRequest, RangeUnsatisfiable, Refusal
from onward.protocol.model import Checksum

DIGEST = hashlib.sha256(b"x").digest()
ENCODED = b64encode(DIGEST).decode()


@pytest.mark.parametrize("value", ["0", "5", "9223372036854775807"])
def test_an_integer_is_read(value: str) -> None:
    assert headers.parse_integer("X", value) == int(value)


@pytest.mark.parametrize(
    "value",
    ["", "-1", "+5", "5.0", "1e3", "0x10", "5_0", '"5"', "٥", "１２", "00", "05", " 5", "5 ", "5\n", "5,6", "5 6"]
    + ["9223372036854775808", "18446744073709551616", "9" * 5000, "\udcff"],
)
def test_what_is_no_integer_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        headers.parse_integer("X", value)


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("", {}),
        ("a YQ==", {"a": b"a"}),
        ("a", {"a": b""}),
        ("a ", {"a": b""}),
        ("a YQ==, b Yg==,  c,\td ZA==", {"a": b"a", "b": b"b", "c": b"", "d": b"d"}),
        ("filename d29ybGQ=,is_confidential", {"filename": b"world", "is_confidential": b""}),
    ],
)
def test_metadata_is_read(value: str, pairs: dict[str, bytes]) -> None:
    assert headers.parse_metadata(value) == pairs


@pytest.mark.parametrize(
    "value",
    [
        ",",
        ",a YQ==",
        " YQ==",
        "a  YQ==",
        "a YQ",
        "a YQ===",
        "a YW*Jj",
        "a YWJj====",
        "a YR==",
        "a YQ==,a YQ==",
        "a YQ==, ",
        "a YQ== ,b Yg==",
        "a YQ==, , b Yg==",
        "é YQ==",
    ]
    + ["a YQ==,", "a\udcff YQ==", "a é", "a " + "A" * 5000, ",".join(f"k{n}" for n in range(33))],
)
def test_wrong_metadata_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        headers.parse_metadata(value)


@given(st.dictionaries(st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True), st.binary(max_size=60), max_size=20))
def test_metadata_goes_round(pairs: dict[str, bytes]) -> None:
    assert headers.parse_metadata(headers.build_metadata(pairs)) == pairs


@pytest.mark.parametrize("value", [f"sha-256=:{ENCODED}:", f"md5=:AAAA:,\tsha-256=:{ENCODED}:"])
def test_a_digest_is_read(value: str) -> None:
    assert headers.parse_repr_digest(value) == DIGEST


def test_a_digest_of_another_kind_is_no_promise() -> None:
    assert headers.parse_repr_digest("sha-512=:AAAA:") is None


@pytest.mark.parametrize(
    "value", ["", "sha-256", "sha-256=:AAAA:", "sha-256=AAAA", "sha-256=:A:", "SHA-256=:AAAA:", ",,"]
)
def test_a_wrong_digest_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        headers.parse_repr_digest(value)


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_goes_round(sha256: bytes) -> None:
    assert headers.parse_repr_digest(headers.build_repr_digest(sha256)) == sha256
    assert headers.parse_hex_sha256(sha256.hex().upper().encode()) == sha256


@pytest.mark.parametrize("value", [b"", b"00", b"g" * 64, b"\xff" * 64, b"0" * 65])
def test_a_wrong_hex_digest_is_refused(value: bytes) -> None:
    with pytest.raises(BadRequest):
        headers.parse_hex_sha256(value)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-4", (0, 5)),
        ("bytes=4-", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=٠-٥", None),
        ("lines=0-1", None),
    ],
)
def test_a_range_is_read(value: str, part: tuple[int, int] | None) -> None:
    assert headers.parse_range(value, 10) == part


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_is_refused(value: str) -> None:
    with pytest.raises(RangeUnsatisfiable) as refused:
        headers.parse_range(value, 10)
    assert refused.value.size == 10
    assert headers.build_refusal_headers(refused.value) == {"Content-Range": "bytes */10"}


def test_a_date_is_an_imf_fixdate() -> None:
    assert headers.build_http_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (None, "attachment"),
        ("a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ('é"\r\n/\\', "attachment; filename=\"______\"; filename*=UTF-8''%C3%A9%22%0D%0A%2F%5C"),
    ],
)
def test_any_file_name_makes_an_attachment(name: str | None, value: str) -> None:
    assert headers.build_disposition("attachment", name) == value


PARSERS: list[Callable[[str], Any]] = [
    lambda value: headers.parse_integer("X", value),
    lambda value: headers.parse_base64("X", value),
    headers.parse_metadata,
    headers.parse_repr_digest,
    lambda value: headers.parse_hex_sha256(value.encode("utf-8", "surrogatepass")),
    lambda value: headers.parse_range(value, 1000),
]
SCRAPS = st.sampled_from(
    ["sha-256=:", ":", "bytes=", "-", ",", " ", "=", ENCODED, "YQ==", "٥", "\udcff", "\x00", "9" * 30]
)


@pytest.mark.parametrize("parse", PARSERS)
@given(value=st.one_of(st.text(), st.lists(st.one_of(SCRAPS, st.text(max_size=3))).map("".join)))
def test_nothing_but_a_refusal_is_raised(parse: Callable[[str], Any], value: str) -> None:
    try:
        parse(value)
    except Refusal as refusal:
        assert refusal.status in {400, 416}


def test_checksums_and_concatenations_are_read_as_they_are_written() -> None:
    for name, algorithm in ALGORITHMS.items():
        summing = algorithm.begin()
        summing.update(b"some bytes")
        checksum = Checksum(algorithm=name, digest=summing.digest())
        assert len(checksum.digest) == algorithm.size
        assert headers.parse_checksum(headers.build_checksum(checksum)) == checksum
    for urls in (None, ("/files/a", "http://t/files/b")):
        assert headers.parse_concat(headers.build_concat(urls)) == urls
    assert ALGORITHMS["crc32"].begin().digest() == bytes(4)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0),
        (f"Mon, 01 Jan {'9' * 40} 00:00:00 GMT", 0),
        ("9" * 5000, 999_999_999),
    ],
)
def test_retry_after_is_read(value: str, seconds: float) -> None:
    assert headers.parse_retry_after(value, 100.0) == seconds
