"""The name of a file in Content-Disposition, as clients write it and as it must not be read."""

import pytest

from onward.protocol.disposition import decode_raw, parse_file_name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ('inline; filename="a.txt"', "a.txt"),
        ("inline; filename=a.txt", "a.txt"),
        ("inline; filename=\"a.txt\"; filename*=UTF-8''a%20b.txt", "a b.txt"),
        ("inline; filename*=utf-8'de'%C3%BC.txt; filename=\"u.txt\"", "ü.txt"),
        ('attachment ;\tFILENAME = "a;b=c.txt" ; size=3', "a;b=c.txt"),
        (r'inline; filename="a \"b\" \\c"', r'a "b" \c'),
        ("inline; filename*=ISO-8859-1''%FC", "ü"),
        ("inline;filename=a;", "a"),
        ('inline; filename="\udcc3\udcbc"', "ü"),
        ('inline; filename="\udcfc"', "ü"),
        ('inline; filename="../../etc/passwd"', "../../etc/passwd"),  # naming.py makes it safe
        # a starred name that can't be read leaves the plain one
        ("inline; filename*=UTF-8''%FF; filename=a", "a"),
        ("inline; filename*=UTF-8''%F; filename=a", "a"),
        ("inline; filename*=UTF-7''a; filename=b", "b"),
        ("inline; filename*=a; filename=b", "b"),
        ("", None),
        ("inline", None),
        ("inline  ", None),
        ('inline; filename=""', None),
        ("inline; filename*=UTF-8''", None),
        ('inline; filename="a', None),
        ("inline; filename=a b", None),
        ("inline; filename=a; filename=b", None),
        ("inline filename=a", None),
        ("; filename=a", None),
        ('form-data; name="f"', None),
    ],
)
def test_a_file_name_is_read(value: str, name: str | None) -> None:
    assert parse_file_name(value) == name


def test_a_long_header_is_read_soon() -> None:
    assert parse_file_name("inline" + ";" * 8000) is None
    assert parse_file_name('inline; filename="' + "\\" * 8000) is None
    assert parse_file_name("a" * 8000 + "(") is None


def test_raw_bytes_are_utf_8_or_latin_1() -> None:
    assert decode_raw("plain") == "plain"
    assert decode_raw("ü") == "ü"
    assert decode_raw("\udce4") == "ä"
