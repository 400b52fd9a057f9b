"""The parser of the command line: options are written in full, and a wrong one gets the nearest right one in answer."""

import argparse
from collections.abc import Sequence
from typing import Any

from onward.server.option_kinds import suggest


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations, as are the parsers of its commands; each refuses wrong words by itself."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **words})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words; exits with 2, and the usage of this very command, where one of them is unknown."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = next((word for word in unknown if word.startswith("-")), unknown[0]).partition("=")[0]
            self.error(f"unknown {'option' if word.startswith('-') else 'word'} {word}{self._suggestion(word)}")
        return found, unknown

    def _suggestion(self, word: str) -> str:
        return suggest(word, self._option_string_actions) if word.startswith("-") else ""
