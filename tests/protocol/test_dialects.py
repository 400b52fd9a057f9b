"""The table of dialects: how one is chosen, and that nothing outside of it knows the words of one."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from onward.protocol import dialects
from onward.protocol.dialects import DEFAULT, DIALECTS, choose, named

ROOT = Path(__file__).resolve().parents[2]


def test_a_request_names_its_dialect_by_a_marker() -> None:
    for dialect in DIALECTS:
        assert named({dialect.marker: "x"}) is choose({dialect.marker: "x"}) is dialect
    assert named({}) is None
    assert choose({}) is DEFAULT
    other = replace(DEFAULT, name="other", marker="Other")
    assert named({"Other": "1"}, (DEFAULT, other)) is other


def test_markers_and_names_are_unique() -> None:
    assert len({dialect.marker.lower() for dialect in DIALECTS}) == len(DIALECTS)
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


def test_a_marker_and_a_stamp_can_be_sent_and_read_by_pages_of_other_origins() -> None:
    for dialect in DIALECTS:
        assert dialect.marker in dialect.cors_requests
        assert dialect.stamp.keys() <= dialect.cors_replies


@pytest.mark.parametrize("folder", ["protocol", "storage", "server"])
def test_no_other_file_knows_a_dialect(folder: str) -> None:
    """A dialect is one file and one row: no header of tus, and no import of its module, stands anywhere else."""
    own = Path(dialects.__file__).resolve().parent
    files = [file for file in (ROOT / folder).rglob("*.py") if file.resolve().parent != own]
    knowing = {str(file) for file in files if re.search(r'"tus-|["{ ]tus1[.\s"]', file.read_text(), re.IGNORECASE)}
    assert knowing == set()
