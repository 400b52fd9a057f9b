"""Requests of the IETF draft that no honest client sends: refused or harmless, never a 5xx, and the server goes on."""

import pytest
from draft_requests import MEDIA_TYPE, Draft
from http_connection import Headers, Tus, path_of

DATA = b"0123456789"
FIELDS = {
    "Upload-Complete": ("", "?", "?2", "?1?1", "?1, ?0", "?1;", "?1;a=", "?1 ;a", "true", "?\x001", "?1" * 3000, "\xff"),
    "Upload-Offset": ("", "-1", "4.0", "1" * 16, "4, 4", '"4"', ":NA==:", "@4", "4;a=\"", "0x4", "\xb4", "4;" + "a;" * 3000),
    "Upload-Length": ("-1", "1e9", "9" * 15, "9" * 5000, "4, 10", "?1", "(4)"),
    "Upload-Draft-Interop-Version": ("", "-6", "6.0", "six", "9" * 15, "6, 8", "6;a=\x01"),
    "Content-Disposition": (
        "inline; filename=" + "a" * 7000, 'inline; filename="' + "\\" * 7000, "inline" + ";" * 7000,
        "inline; filename*=UTF-8''" + "%" * 3000, 'inline; filename="../../../etc/passwd"', "inline; filename=\xff\xfe",
        'inline; filename="a\x00b"', "inline; filename*=UTF-8''%00%2e%2e%2f", "=;=;=",
    ),
    "Content-Type": ("a" * 7000, "multipart/form-data", "\xff/\xff"),
    "Content-Encoding": ("gzip, " * 1000, "\xff"),
    "Repr-Digest": ("sha-256=?1", "sha-256=:AAAA:", "sha-256=:" + "A" * 7000, "x" * 7000),
    "Content-Length": ("9" * 30, "-1", "5, 5"),
    "Expect": ("104-continue",),
    "Transfer-Encoding": ("gzip",),
}  # fmt: skip
ROWS = [(name, value) for name, values in FIELDS.items() for value in values]
NAMES = ("..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "a" * 4000, "%2e%2e", "%", "a%0d%0ab", "con", "%F0%9F%92%BE")


def harmless(draft: Draft, tus: Tus) -> None:
    """Check that the server goes on."""
    path = draft.begun(DATA[:4], 10)
    draft.holds(path, DATA, 4)
    assert tus.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize("version", [6, 10])
@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_strange_field_is_no_fault_of_the_server(tus: Tus, number: int, version: int) -> None:
    name, value = ROWS[number]
    draft = Draft(tus, version)
    odd: Headers = {name: value}
    assert draft.create("?1", DATA, odd).status < 500
    path = draft.begun(DATA[:4], 10)
    answer = draft.patch(path, 4, "?0", DATA[4:6], odd if name != "Content-Type" else {"Content-Type": MEDIA_TYPE})
    assert answer.status < 500
    assert draft.head(path).offset in (4, 6, None)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_strange_name_is_only_a_name(tus: Tus, name: str) -> None:
    draft = Draft(tus, 10)
    answer = draft.ask("PUT", f"{tus.files}/{name}", {"Upload-Complete": "?1"}, DATA)
    assert answer.status < 500
    if answer.status == 201:
        assert draft.ask("GET", path_of(answer["Location"])).body == DATA
    harmless(draft, tus)
