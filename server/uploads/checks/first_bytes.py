"""Which matchers of the library `filetype` have to be asked about a file that begins with a certain byte.

To ask all of its 80 matchers takes as long as to store a short file. Most of them compare the first byte of a file with
one of their own, and look no further if it is another one. Which one that is, they tell by themselves when they are
asked about a file whose first bytes equal nothing: what they compare them with is noted. A matcher that says no then,
and has looked at nothing else, says no to every file with another first byte. All other matchers are asked about every
file. Called by types.py, when it is imported.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Match = Callable[[object], object]


class _Beginning:
    """The first byte of a file, or its first bytes; it equals nothing, and notes with what it was compared."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, compared: set[int]) -> None:
        self._compared = compared

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bytes | bytearray) and other:
            self._compared.add(other[0])
        elif isinstance(other, int):
            self._compared.add(other)
        else:
            raise TypeError
        return False


class _File:
    """A file of which only the beginning can be looked at."""

    def __init__(self, compared: set[int]) -> None:
        self._compared = compared

    def __len__(self) -> int:
        return 2**20

    def __getitem__(self, index: object) -> _Beginning:
        if index == 0 or (isinstance(index, slice) and index.start in {None, 0} and index.stop and index.stop > 0):
            return _Beginning(self._compared)
        raise IndexError


def by_first_byte(matchers: Sequence[tuple[Match, T]]) -> tuple[tuple[T, ...], ...]:
    """Return, for each first byte of a file, what belongs to the matchers that may say yes to it, in their order."""
    known = [(first_bytes(match), value) for match, value in matchers]
    return tuple(tuple(value for bytes_, value in known if bytes_ is None or byte in bytes_) for byte in range(256))


def first_bytes(match: Match) -> frozenset[int] | None:
    """Return the first bytes of the files to which a matcher may say yes; None if that can't be told."""
    compared: set[int] = set()
    try:
        matched = match(_File(compared))
    except (TypeError, IndexError, AttributeError):  # it looks at something else
        return None
    return None if matched else frozenset(compared)
