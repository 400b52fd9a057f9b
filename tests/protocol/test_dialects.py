"""The table of dialects: how one is chosen, and that nothing outside of it knows the words of one."""

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from onward.protocol import dialects
from onward.protocol.dialects import DEFAULT, DIALECTS, build_problem, named
from onward.protocol.errors import Gone, Locked

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_dialect_that_claims_a_request_is_the_one_that_it_names() -> None:
    assert named("POST", {"Tus-Resumable": "x"}) is DEFAULT
    assert named("POST", {"Other": "1"}) is None
    other = replace(DEFAULT, name="other", signs=("Other",), claims=lambda _method, headers: "Other" in headers)
    assert named("POST", {"Other": "1"}, (DEFAULT, other)) is other
    assert named("POST", {"Other": "1", "Tus-Resumable": "x"}, (DEFAULT, other)) is DEFAULT
    assert named("POST", {}, (DEFAULT, other)) is None


def test_names_are_unique() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


def test_a_stamp_can_be_read_by_pages_of_other_origins() -> None:
    for dialect in DIALECTS:
        assert dialect.stamp.keys() <= dialect.cors_replies


def test_a_dialect_may_give_a_problem_its_own_type_and_members() -> None:
    plain = build_problem(Locked("It is in use."), 423, {"Retry-After": "1"})
    assert (plain.status, plain.headers["Retry-After"]) == (423, "1")
    assert json.loads(plain.body or b"") == {
        "type": "urn:onward:error:locked", "title": Locked.title, "status": 423, "detail": "It is in use.",
        "code": "locked",
    }  # fmt: skip
    own = build_problem(Gone(), 404, {}, type="https://example/gone", offset=7)
    assert json.loads(own.body or b"") == {
        "type": "https://example/gone", "title": Gone.title, "status": 404, "offset": 7, "code": "gone",
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["protocol", "storage", "server"])
def test_no_other_file_knows_a_dialect(folder: str) -> None:
    """A dialect is one file and one row: none of its headers and features, and no import of it, is anywhere else."""
    own = Path(dialects.__file__).resolve().parent
    files = [file for file in (ROOT / folder).rglob("*.py") if file.resolve().parent != own]
    words = r'"tus-|["{ ]tus1[.\s"]|method-override|"termination|"creation\b|"concatenation'
    knowing = {str(file) for file in files if re.search(words, file.read_text(), re.IGNORECASE)}
    assert knowing <= {str(ROOT / "server/doctor/proxy.py")}  # the doctor uploads, as a client of tus
