"""Keys of creations: how they are written, and what makes two requests the same."""

import pytest

from onward.protocol.creation_keys import build_creation_key, parse_key
from onward.protocol.errors import BadRequest
from onward.protocol.model import Concat, CreateRequest, Role

ASKED = CreateRequest(length=5, metadata="filename YQ==", promised=None, body_size=0, has_body=False)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        ("a", "a"),
        ("!~", "!~"),
        ('a"b', 'a"b'),
        (r'"a\"b\\c"', r'a"b\c'),
        (" \tk\t ", "k"),
        ("k" * 255, "k" * 255),
        (f'"{"k" * 255}"', "k" * 255),
    ],
)
def test_a_key_is_the_same_with_and_without_quotes(written: str, key: str) -> None:
    assert parse_key([written]) == key


@pytest.mark.parametrize(
    "written",
    ["", '""', '"', '"a', '"a"b', r'"a\b"', '"a";p=1', "a b", '"a b"', "a\tb", "ä", '"ä"', "\x7f", "k" * 256, '" "'],
)
def test_what_is_no_key_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key must be"):
        parse_key([written])


def test_no_header_is_no_key_and_two_are_refused() -> None:
    assert parse_key([]) is None
    with pytest.raises(BadRequest, match="twice"):
        parse_key(["a", "a"])


def test_a_key_belongs_to_its_owner() -> None:
    hashes = {build_creation_key("key", owner, ASKED).hash for owner in (None, "", "None", "alice", "bob")}
    assert len(hashes) == 5
    assert build_creation_key("key", "alice", ASKED) == build_creation_key("key", "alice", ASKED)
    assert build_creation_key("other", "alice", ASKED).hash not in hashes


def test_requests_differ_by_length_metadata_promise_and_concat() -> None:
    def asked(
        length: int | None = 5, metadata: str | None = None, promised: bytes | None = None, told: str | None = None
    ) -> str:
        concat = None if told is None else Concat(role=Role.FINAL, told=told)
        request = CreateRequest(
            length=length, metadata=metadata, promised=promised, body_size=0, has_body=False, concat=concat
        )
        return build_creation_key("key", None, request).request

    different = [asked(), asked(None), asked(6), asked(metadata="a YQ=="), asked(promised=b"\0" * 32),
                 asked(told="final;a b"), asked(told="final;b a")]  # fmt: skip
    assert len(set(different)) == len(different)
    assert asked() == different[0]
