"""The checks that the configuration asks for, in the order in which they are made: the quick one first.

The start of the server and `onward sweep` call `configured_checks`. A new check gets its row here.
"""

from onward.server.config import Config
from onward.server.events.targets import ask_of
from onward.server.uploads.checks import Check
from onward.server.uploads.checks.clamd import Clamd, ClamdCheck
from onward.server.uploads.checks.types import ANY, TypeCheck


def configured_checks(config: Config) -> tuple[Check, ...]:
    """Return the checks; none of them if the configuration asks for none.

    The application is asked last, about files that are clean. Raises ConfigError if its secret can't be read.
    """
    checks: list[Check] = []
    if ANY not in config.types:
        checks.append(TypeCheck(config.types))
    if config.clamd:
        checks.append(
            ClamdCheck(
                Clamd(config.clamd),
                limit=config.clamd_max_size,
                unavailable=config.clamd_unavailable,
                too_large=config.clamd_too_large,
            )
        )
    if "publish" in config.ask_acts and (ask := ask_of(config)) is not None:
        checks.append(ask.publishing)
    return tuple(checks)
