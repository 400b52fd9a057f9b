"""The options of checks. `Config` (config.py) has them beside all others."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from onward.server.option import CHECKS, Option
from onward.server.option_kinds import CLAMD, POSITIVE_SIZE, TYPES, choice
from onward.server.uploads.checks.clamd import WhenTooLarge, WhenUnavailable


class CheckOptions(Struct, frozen=True, kw_only=True):
    """Which files are accepted."""

    types: Annotated[
        Sequence[str],
        Option(
            CHECKS,
            TYPES,
            "accept only files of this type, such as image/*, as recognised from their bytes; may be repeated",
            sweep=True,
        ),
    ] = ("*/*",)
    clamd: Annotated[
        str,
        Option(CHECKS, CLAMD, "scan files for viruses: unix:/run/clamav/clamd.ctl or tcp:HOST:PORT", sweep=True),
    ] = ""
    clamd_unavailable: Annotated[
        WhenUnavailable,
        Option(CHECKS, choice(WhenUnavailable), "what happens to files while the scanner is down", sweep=True),
    ] = WhenUnavailable.HOLD
    clamd_too_large: Annotated[
        WhenTooLarge,
        Option(CHECKS, choice(WhenTooLarge), "what happens to files above --clamd-max-size", sweep=True),
    ] = WhenTooLarge.REFUSE
    clamd_max_size: Annotated[
        int,
        Option(
            CHECKS, POSITIVE_SIZE, "maximum size of a scanned file: the scanner's own MaxFileSize, or less", sweep=True
        ),
    ] = 100 * 2**20
