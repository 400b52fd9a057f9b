"""Random names that nobody can guess, taken from the system for many at once, which costs less than a call for each."""

import os

BLOCK = 4096  # random bytes that are asked for at once
DIGITS = 32  # of one name
_names: list[str] = []


def random_id() -> str:
    """Return 128 random bits as 32 hexadecimal digits; may be called by any thread."""
    try:
        return _names.pop()
    except IndexError:
        digits = os.urandom(BLOCK).hex()
        fresh = [digits[at : at + DIGITS] for at in range(0, len(digits), DIGITS)]
        last = fresh.pop()
        _names.extend(fresh)
        return last


os.register_at_fork(after_in_child=_names.clear)  # otherwise both processes would give the same names
