"""docs/conformance.md tells what the checks say, with all of them passed."""

from conformance import DOCUMENT, TOTAL, Check, Rule, collect, collect_rules, render, render_rules

CHECKS = (Check(1, "MUST", "one | two"), Check(2, "MAY", "three", "a reason"), Check(3, "SHOULD", "four"))


def test_each_number_is_there_once() -> None:
    assert [check.number for check in collect()] == list(range(1, TOTAL + 1))


def test_the_document_is_up_to_date() -> None:
    checks = collect()
    rules = collect_rules()
    passed = {(rule.name, version): True for rule in rules for version in rule.versions}
    wanted = render(checks, dict.fromkeys(range(1, TOTAL + 1), True)) + render_rules(rules, passed)
    assert DOCUMENT.read_text("utf-8") == wanted, "run: python tests/conformance/report.py"


def test_every_rule_of_the_draft_is_there_once() -> None:
    wanted = [*(f"R{number}" for number in range(1, 58)), *(f"RM{number}" for number in range(1, 12))]
    wanted.insert(wanted.index("R56"), "R55b")
    assert [rule.name for rule in collect_rules()] == wanted


def test_a_failure_of_a_rule_shows() -> None:
    rules = [Rule("R1", "M", "a | b", (6, 10))]
    text = render_rules(rules, {("R1", 6): True, ("R1", 10): False})
    assert "| R1 | M | a \\| b | passed | – | – | FAILED |" in text
    assert "NOT RUN" in render_rules(rules, {("R1", 6): True})


def test_a_failure_shows() -> None:
    text = render(CHECKS, {1: False, 2: True})
    assert "\n1 FAILED, 1 NOT RUN, 1 not offered, of 3\n" in text
    assert "| 1 | MUST | one \\| two | FAILED |" in text
    assert "| 2 | MAY | three | not offered: a reason |" in text
    assert "| 3 | SHOULD | four | NOT RUN |" in text


def test_a_failure_shows_where_the_check_is_not_offered() -> None:
    assert "| 2 | MAY | three | FAILED |" in render(CHECKS, {2: False})
