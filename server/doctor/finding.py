"""What the doctor finds."""

from typing import Literal

from msgspec import Struct

MOST_SKEW = 5.0  # seconds between two clocks


class Finding(Struct, frozen=True):
    """One thing that was tried: whether it is well, and a sentence; where it is not, the sentence says what to do."""

    level: Literal["ok", "warning", "problem"]
    about: str
    sentence: str


def judge_clock(about: str, skew: float) -> Finding:
    """Judge how many seconds this machine's clock is ahead of another one."""
    if abs(skew) <= MOST_SKEW:
        return Finding("ok", "clock", f"It agrees with that of {about}.")
    way = "ahead of" if skew > 0 else "behind"
    return Finding(
        "problem", "clock", f"This machine is {abs(skew):.0f} s {way} {about}: set both clocks by NTP (timedatectl)."
    )
