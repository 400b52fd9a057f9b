"""The parser of the command line, for the server's commands and the client's.

It differs from argparse's own in three ways: options are written in full; an unknown option is reported before an
argument that is missing, because it is most likely the cause; and the report names the nearest right option.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from onward.server.option_kinds import suggest

_END_OF_OPTIONS = "--"
_NEGATIVE_NUMBER = re.compile(r"-[0-9.]+")


class Argument(NamedTuple):
    """An argument of a command: what completion and man pages need to know about it."""

    group: str  # its heading in --help
    options: tuple[str, ...]  # none for an argument without a name
    metavar: str
    about: str
    takes_value: bool
    choices: tuple[str, ...]


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations, as are the parsers of its commands; each refuses wrong arguments by itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; exits with 2, and the usage of this very command, if one of them is unknown."""
        self._check_options(args or ())
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(next((word for word in unknown if word.startswith("-")), unknown[0]))
        return found, unknown

    def arguments(self) -> list[Argument]:
        """Return all arguments, in the order of --help within each group."""
        titles = [group.title for group in self._action_groups]
        return [
            Argument(
                group=getattr(action.container, "title", None) or "options",  # type: ignore[attr-defined]
                options=tuple(action.option_strings),
                metavar=str(action.metavar or action.dest.upper()),
                about=(action.help or "").replace("%%", "%"),
                takes_value=action.nargs != 0,
                choices=tuple(map(str, action.choices or ())),
            )
            for action in sorted(self._actions, key=lambda each: titles.index(each.container.title))  # type: ignore[attr-defined]
        ]

    def _check_options(self, words: Sequence[str]) -> None:
        """Refuse an unknown option, and a value for a switch; the parser of a command checks what follows its name."""
        has_commands = self._subparsers is not None
        for word in words:
            if word == _END_OF_OPTIONS or (has_commands and not word.startswith("-")):
                return
            name, equals, _ = word.partition("=")
            action = self._option_string_actions.get(name)
            if action is not None and action.nargs == 0 and equals:
                self.error(f"{name} takes no value: write {' or '.join(action.option_strings)}")
            if action is None and word.startswith("--") and " " not in word:
                self._refuse(word)
            if action is None and has_commands and not _NEGATIVE_NUMBER.fullmatch(word):
                self._refuse(word)

    def _refuse(self, word: str) -> None:
        word = word.partition("=")[0]
        is_option = word.startswith("-")
        near = suggest(word, self._option_string_actions) if is_option else ""
        self.error(f"unknown {'option' if is_option else 'argument'} {word}{near}")
