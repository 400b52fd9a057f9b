"""Dialects are only asked about requests with one of their signs; that must not change which one is found."""

from itertools import product

import pytest

from onward.protocol.dialects import DIALECTS, named

VALUES = {
    "Tus-Resumable": (None, "1.0.0", "2"),
    "Upload-Draft-Interop-Version": (None, "6", "8", "10", "99", "x"),
    "Upload-Complete": (None, "?0", "1"),
    "Content-Type": (None, "application/partial-upload", "application/offset+octet-stream"),
}


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "POST"])
def test_the_signs_change_nothing(method: str) -> None:
    found = set()
    for values in product(*VALUES.values()):
        headers = {name: value for name, value in zip(VALUES, values, strict=True) if value is not None}
        asked = next((dialect for dialect in DIALECTS if dialect.claims(method, headers)), None)
        assert named(method, headers) is asked, headers
        found.add(asked and asked.name)
    assert found >= {None, DIALECTS[0].name, DIALECTS[-2].name, DIALECTS[-1].name}
