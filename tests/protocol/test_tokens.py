"""The form of a token is read strictly: what could be read in two ways is no token."""

from base64 import urlsafe_b64encode

import pytest

from onward.protocol.errors import InvalidToken
from onward.protocol.tokens import LARGEST, Told, decode_base64url, read_header, read_object


def token(header: bytes, payload: str = "e30", signature: str = "AA") -> str:
    return f"{urlsafe_b64encode(header).decode().rstrip('=')}.{payload}.{signature}"


def test_a_header_names_an_algorithm_and_perhaps_a_key() -> None:
    assert read_header(token(b'{"alg":"HS256"}')) == Told("HS256", None)
    assert read_header(token(b'{"alg":"RS256","kid":"k","jku":"http://x"}')) == Told("RS256", "k")


@pytest.mark.parametrize(
    "wrong",
    [
        "", "a", "a.b", "a.b.c.d", "e30.e30.", ".e30.AA", "e30.e30.A=", "e30.e30.A A", "e30.e30.AA\n", "e30.e30.Ａ",
        token(b'{"alg":"HS256"}', "A"), token(b'{"alg":"HS256"}', "AB"), token(b'{"alg":"HS256"}', signature="AB"),
        token(b'{"alg":"HS256"}', "A" * LARGEST), token(b'{"alg":"HS256","x":"%b"}' % (b"x" * 2000)),
        token(b"{}"), token(b'{"alg":5}'), token(b'{"alg":"HS256","kid":5}'), token(b'{"alg":"HS256","crit":[]}'),
        token(b"{"), token(b"[]"), token(b'{"alg":"none","alg":"HS256"}'), token(b"\xff"), token(b"[" * 1400),
    ],
    ids=lambda wrong: ascii(wrong)[:40],
)  # fmt: skip
def test_what_has_not_the_form_of_a_token_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidToken):
        read_header(wrong)


@pytest.mark.parametrize(
    "text", [b"NaN", b'{"a":Infinity}', b'{"a":{"b":1,"b":2}}', b"[1]", b'"x"', b'{"a":%b}' % (b"9" * 5000)]
)
def test_a_payload_is_one_object_without_doubles(text: bytes) -> None:
    with pytest.raises(InvalidToken):
        read_object(text)


def test_base64url_is_canonical() -> None:
    assert decode_base64url("-_8") == b"\xfb\xff"
    assert read_object(b'{"a": [{"b": 1}, {"b": 2}]}') == {"a": [{"b": 1}, {"b": 2}]}
    for wrong in ("-_9", "-_8=", "a", "AA=="):
        with pytest.raises(ValueError, match=r"base64|padded|Incorrect|Invalid"):
            decode_base64url(wrong)
