"""Forms: what their text fields and the heads of their files mean."""

import pytest

from onward.protocol.errors import BadRequest, TooLarge
from onward.protocol.forms import MOST_FIELDS, FormFields, parse_extended, readable_name
from onward.protocol.headers import MAX_METADATA, MAX_METADATA_KEYS, parse_metadata
from onward.protocol.plain import MOST_NAME

HEX = "ab" * 32


def metadata(fields: FormFields, name: str = "a.txt", media_type: str = "") -> dict[str, bytes]:
    return parse_metadata(fields.creation(name, media_type).metadata or "")


def test_the_fields_before_a_file_become_its_metadata() -> None:
    fields = FormFields()
    fields.add("album", "Köln".encode())
    assert metadata(fields, media_type="image/png") == {
        "filename": b"a.txt", "filetype": b"image/png", "album": "Köln".encode(),
    }  # fmt: skip
    fields.add("later", b"1")
    assert metadata(fields, "")["later"] == b"1"
    creation = fields.creation("", "")
    assert (creation.length, creation.body_size, creation.has_body, creation.in_one_request) == (None, None, True, True)
    assert FormFields().creation("", "").metadata is None


def test_a_name_that_comes_again_is_a_list_and_its_last_value_is_metadata() -> None:
    fields = FormFields()
    for value in (b"1", b"2", b"3"):
        fields.add("a", value)
    assert fields.values == {"a": ["1", "2", "3"]}
    assert metadata(fields)["a"] == b"3"


def test_a_sha256_is_the_promise_for_one_file() -> None:
    fields = FormFields()
    fields.add("sha256", HEX.encode())
    first, second = fields.creation("a", ""), fields.creation("b", "")
    assert (first.promised, second.promised) == (bytes.fromhex(HEX), None)
    assert parse_metadata(first.metadata or "")["sha256"] == HEX.encode()
    fields.add("sha256", b"")
    assert fields.creation("a", "").promised is None
    fields.add("sha256", b"12")
    with pytest.raises(BadRequest):
        fields.creation("a", "")
    assert fields.creation("a", "").promised is None


def test_metadata_are_never_more_than_a_header_can_tell() -> None:
    fields = FormFields()
    names = ["two words", "", "ä", "filename", "a,b", *(f"k{n}" for n in range(MAX_METADATA_KEYS))]
    for name in names:
        fields.add(name, b"v")
    told = metadata(fields)
    assert told["filename"] == b"a.txt"
    assert len(told) == MAX_METADATA_KEYS
    assert set(fields.values) == set(names)
    fields = FormFields()
    fields.add("long", b"x" * 60_000)
    fields.add("short", b"y")
    assert metadata(fields) == {"filename": b"a.txt", "short": b"y"}
    for size in range(2900, 3100):
        fields = FormFields()
        fields.add("long", b"x" * size)
        text = fields.creation("ä" * 50, "text/plain").metadata or ""
        assert len(text) <= MAX_METADATA
        parse_metadata(text)


def test_text_is_utf_8() -> None:
    fields = FormFields()
    for charset in (b"UTF-8", b"", b" utf8"):
        fields.add("_charset_", charset)
    assert fields.values == {}
    for name, value in (("_charset_", b"windows-1252"), ("a", b"\xff")):
        with pytest.raises(BadRequest):
            fields.add(name, value)


def test_there_are_not_more_fields_than_allowed() -> None:
    fields = FormFields()
    for number in range(MOST_FIELDS):
        fields.add(f"{number}", b"")
    with pytest.raises(TooLarge):
        fields.add("one more", b"")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\r\nb\0.txt", "ab.txt"),
        ("dir/a.txt", "dir/a.txt"),
        ("ä" * MOST_NAME, "ä" * (MOST_NAME // 2)),
        ("x" + "ä" * MOST_NAME, "x" + "ä" * (MOST_NAME // 2 - 1)),
    ],
)
def test_a_file_name_has_no_control_characters_and_an_end(name: str, told: str) -> None:
    assert readable_name(name) == told


def test_an_extended_file_name_is_read() -> None:
    assert parse_extended("UTF-8''na%C3%AFve%20file.txt") == "naïve file.txt"
    assert parse_extended("utf-8'en'a") == "a"
    for wrong in ("a", "utf-8'a", "iso-8859-1''%E4", "UTF-8''%FF"):
        with pytest.raises(BadRequest):
            parse_extended(wrong)
