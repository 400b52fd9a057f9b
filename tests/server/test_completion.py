"""Completion in real shells, and man pages in real programs; both are made of the parsers that --help is made of."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from onward.server.command_parsers import CLIENT_COMMANDS, COMMANDS, build_parser
from onward.server.completion import completion
from onward.server.man_pages import man_pages

_, PARSERS = build_parser("1", with_client=True)
ABOUT = COMMANDS | CLIENT_COMMANDS
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_onward; printf '%s\\n' "${COMPREPLY[@]}"
"""


def program(name: str) -> str:
    """Give the path of a program; without it, the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing")
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up"], {"upload"}),
        (["serve", "--max-s"], {"--max-size"}),
        (["serve", "--durability", "p"], {"process"}),
        (["serve", "--durability", "=", "g"], {"group"}),
        (["upload", "--rec"], {"--recursive"}),
        (["watch", "--rec"], {""}),
        (["completion", "f"], {"fish"}),
        (["list", "--status", "comp"], {"completed"}),
    ],
)
def test_bash_completes_commands_options_and_values(tmp_path: Path, words: Sequence[str], expected: set[str]) -> None:
    script = tmp_path / "onward.bash"
    script.write_text(completion("bash", PARSERS, ABOUT))
    ended = subprocess.run(
        [program("bash"), "--norc", "-c", BASH, "bash", str(script), "onward", *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(ended.stdout.split("\n")[:-1]) == expected, ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_right_for_its_shell(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "script"
    script.write_text(completion(shell, PARSERS, ABOUT))
    for command, parser in PARSERS.items():
        assert command in script.read_text()
        for argument in parser.arguments():
            assert all(option.lstrip("-") in script.read_text() for option in argument.options)
    ended = subprocess.run([program(shell), "-n", str(script)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_man_pages_have_every_option_and_are_clean(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "onward", "man", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert {page.name for page in tmp_path.iterdir()} == set(man_pages("1", PARSERS, ABOUT))
    groff = program("groff")
    for page in sorted(tmp_path.iterdir()):
        shown = subprocess.run(
            [groff, "-man", "-ww", "-K", "utf8", "-T", "utf8", "-P-cbou", str(page)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (shown.returncode, shown.stderr) == (0, ""), page.name
        for argument in PARSERS[page.stem.partition("-")[2]].arguments() if "-" in page.stem else ():
            for option in argument.options:
                assert option in shown.stdout.replace("\N{HYPHEN}", "-"), (page.name, option)


@pytest.mark.parametrize("command", sorted(ABOUT))
def test_each_help_ends_with_examples(command: str) -> None:
    text = PARSERS[command].format_help()
    examples = text.rpartition("examples:\n")[2].splitlines()
    assert len(examples) >= 2
    assert all(f"onward {command}" in example for example in examples)
