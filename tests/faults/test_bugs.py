"""The list of known bugs is in order; that each is found, `planted.py` shows."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[2]


def test_each_bug_has_a_sign_of_its_own() -> None:
    assert [sign for sign, times in Counter(bug.sign for bug in BUGS).items() if times > 1] == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.sign)
def test_each_bug_can_be_planted(bug: Bug) -> None:
    source = (ROOT / bug.file).read_text()
    planted = bug.planted(source)
    assert planted != source
    if bug.file.endswith(".py"):
        ast.parse(planted)
    assert (ROOT / bug.test.partition(" ")[0].partition("::")[0]).is_file()


def test_a_bug_whose_right_text_has_changed_is_not_planted() -> None:
    bug = Bug("x", "none", "a.py", "right", "wrong", "tests")
    assert bug.planted("a right b") == "a wrong b"
    for source in ("", "right right"):
        with pytest.raises(ValueError, match=r"a\.py has changed"):
            bug.planted(source)
