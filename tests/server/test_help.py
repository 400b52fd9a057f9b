"""Every option of every command is in a group, with a sentence and a metavar that fits its kind."""

import pytest

from onward.server.command_parsers import build_parser
from onward.server.config import OPTIONS
from onward.server.option import GROUPS
from onward.server.option_kinds import POSITIVE_TIME, SIZE, SWITCH, TIME

PARSERS = build_parser("1", with_client=True)[1]
IN_GROUPS = ("serve", "sweep", "upload", "watch")  # the commands whose options are in groups


@pytest.mark.parametrize("command", PARSERS)
def test_every_argument_has_a_sentence_and_a_metavar(command: str) -> None:
    for argument in PARSERS[command].arguments():
        assert argument.about.strip(), argument
        assert argument.metavar == argument.metavar.strip(), argument
        if argument.takes_value:
            assert argument.metavar, argument


@pytest.mark.parametrize("command", IN_GROUPS)
def test_every_option_is_in_a_group(command: str) -> None:
    alone = [each.options for each in PARSERS[command].arguments() if each.options and each.group == "options"]
    assert alone == [("-h", "--help")]


def test_metavars_say_the_unit() -> None:
    for name, option in OPTIONS.items():
        assert option.group in GROUPS, name
        if option.kind is not SWITCH:
            assert option.kind.metavar, name
    assert (SIZE.metavar, TIME.metavar, POSITIVE_TIME.metavar, OPTIONS["data"].kind.metavar) == (
        "BYTES", "TIME", "TIME", "DIR",
    )  # fmt: skip


@pytest.mark.parametrize("command", PARSERS)
def test_the_arguments_of_a_group_are_together(command: str) -> None:
    groups = [argument.group for argument in PARSERS[command].arguments()]
    assert [group for at, group in enumerate(groups) if group in groups[:at] and groups[at - 1] != group] == []
