"""The names of published files: the template of their paths, and file names of clients made safe.

The operator chooses a layout such as `{owner}/{date:%Y/%m}/{name}`. `parse_layout` reads and judges it at the start, so
that no layout can fail later: whatever a client calls its file, `Layout.path` gives a relative path that stays inside
the folder, has no empty and no hidden segment, and fits a file system. `server/uploads/publishing.py` asks
for it when a file is verified, and a blob store uses `with_suffix` if another file has that path already.

Names keep what people see, as NFC. What they can't see, or what means something to a file system, goes: control and
format characters (also those that change the direction of writing), separators, leading dots.
"""

import re
from datetime import UTC, datetime
from unicodedata import category, normalize

from msgspec import Struct

from onward.protocol.model import UploadId

NAME_BYTES = 200  # the most bytes of a name or an owner in a path
EXTENSION_BYTES = 28  # with its dot; what is longer is no extension
SEGMENT_BYTES = 255  # NAME_MAX of Linux
PATH_BYTES = 900  # below the 1,024 bytes of a key in object storage, with room for a prefix
LEAST_SHARE = 32  # bytes of a name that must fit into its segment: an extension and one character, at least
NO_VALUE = "_"
SUFFIX_DIGITS = 8

_EXTENSION = re.compile(r"(.+?)((?:\.tar)?\.[^.\s/]{1,16})", re.IGNORECASE | re.DOTALL)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, surrogate, and separators of lines
# The directives that a date may be made of, and how many digits each gives: numbers only.
_DIRECTIVES = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "j": 3, "G": 4, "V": 2, "u": 1}
_VARIABLE = {"name": NAME_BYTES, "owner": NAME_BYTES, "ext": EXTENSION_BYTES}
_FIXED = {"id": 32, "sha256": 64}
_DISTINCT = "{id}, {sha256} or {name}"


class PathValues(Struct, frozen=True, kw_only=True, gc=False):
    """What the path of one published file is made of."""

    id: UploadId
    # The SHA-256 of the whole file.
    sha256: bytes
    # The name that the client gave, as it wrote it.
    file_name: str | None
    owner: str | None = None


class _Token(Struct, frozen=True, gc=False):
    """One value in a segment; `directive` is the directive of a date, such as `%Y`."""

    name: str
    most: int  # bytes that the value may have here
    directive: str = ""


_Segment = tuple[str | _Token, ...]


class Layout(Struct, frozen=True, gc=False):
    """A template of published paths that `parse_layout` has accepted."""

    text: str
    segments: tuple[_Segment, ...]

    def path(self, values: PathValues, now: float) -> str:
        """Return the path of a file below the folder of finished files. `now` is the time of completion."""
        date = datetime.fromtimestamp(now, UTC)
        return "/".join("".join(_text(piece, values, date) for piece in segment) for segment in self.segments)


def parse_layout(text: str) -> Layout:
    """Read a template of published paths. Raises ValueError with a sentence that says what would be right."""
    try:
        segments = tuple(_fitted(segment) for segment in _segments(text))
        if not {"id", "sha256", "name"} & {_distinct(piece) for segment in segments for piece in segment}:
            raise ValueError(f"it needs {_DISTINCT}, so that files get different paths")
        longest = sum(_most(segment) + 1 for segment in segments)
        if longest > PATH_BYTES:
            raise ValueError(f"its paths may have {longest} bytes, and {PATH_BYTES} is the most")
    except ValueError as fault:
        raise ValueError(f"{text!r} is not a layout: {fault}") from None
    return Layout(text, segments)


def with_suffix(path: str, id: UploadId, digits: int = SUFFIX_DIGITS) -> str:
    """Return the path to try where `path` is taken: `-` and the first digits of the id before the extension."""
    folder, slash, name = path.rpartition("/")
    stem, extension = split_extension(name)
    suffix = f"-{id[:digits]}{extension}"
    return f"{folder}{slash}{_shortened(stem, SEGMENT_BYTES - len(suffix.encode()))}{suffix}"


def safe_name(name: str | None, most: int = NAME_BYTES) -> str:
    """Return a name as one segment of a path, of `most` bytes of UTF-8 at most; `_` if nothing of it can stay.

    When the name is cut its extension stays, so `most` must leave room for one. Different names may become the same.
    """
    seen = "".join(letter for letter in name or "" if category(letter) not in _UNSEEN)
    plain = re.sub(r"^[\s.]+", "", normalize("NFC", seen).rstrip()).replace("/", "_").replace("\\", "_")
    if len(plain.encode()) > most:
        stem, extension = split_extension(plain)
        plain = _shortened(stem, most - len(extension.encode())) + extension
    return plain or NO_VALUE


def split_extension(name: str) -> tuple[str, str]:
    """Split a file name before the dot of its extension, which may be empty; `.tar.gz` and the like are one."""
    found = _EXTENSION.fullmatch(name)
    return (found[1], found[2]) if found and len(found[2].encode()) <= EXTENSION_BYTES else (name, "")


def _segments(text: str) -> list[_Segment]:
    """Split a template at its slashes, also at those in the format of a date."""
    segments: list[list[str | _Token]] = [[]]
    for number, found in enumerate(re.split(r"\{([^{}]*)\}", normalize("NFC", text))):
        for piece in _token(found) if number % 2 else [found]:
            first, *others = [piece] if isinstance(piece, _Token) else piece.split("/")
            segments[-1] += [first] if first else []
            segments += [[other] if other else [] for other in others]
    return [tuple(segment) for segment in segments]


def _token(text: str) -> list[str | _Token]:
    """Read what stands in braces. Raises ValueError."""
    name, colon, argument = text.partition(":")
    if name == "date" and argument:
        return _date(argument)
    if name == "sha256" and re.fullmatch(r"[1-9]|[1-5][0-9]|6[0-4]", argument):
        return [_Token("sha256", int(argument))]
    most = _FIXED.get(name) or _VARIABLE.get(name)
    if colon or most is None:
        raise ValueError(
            f"{{{text}}} is unknown; there are {{id}}, {{date:%Y/%m/%d}}, {{owner}}, {{sha256}}, {{sha256:2}}, "
            "{name} and {ext}"
        )
    return [_Token(name, most)]


def _date(text: str) -> list[str | _Token]:
    pieces: list[str | _Token] = []
    for number, found in enumerate(re.split(r"%(.?)", text)):
        if not number % 2:
            pieces.append(found)
        elif found in _DIRECTIVES:
            pieces.append(_Token("date", _DIRECTIVES[found], f"%{found}"))
        else:
            raise ValueError(f"a date can be made of {', '.join(f'%{letter}' for letter in _DIRECTIVES)}")
    return pieces


def _fitted(segment: _Segment) -> _Segment:
    """Judge one segment, and share its bytes out among the values whose length a client chooses. Raises ValueError."""
    text = "".join(piece for piece in segment if isinstance(piece, str))
    if not segment or not (text.strip() or len(segment) > 1 or isinstance(segment[0], _Token)):
        raise ValueError("it has an empty segment; it must be a relative path without a slash at its end")
    if isinstance(segment[0], str) and segment[0].startswith("."):
        raise ValueError("no segment may begin with a dot")
    if any(letter in r"{}\\" or category(letter) in _UNSEEN for letter in text):
        raise ValueError("it has a brace without its counterpart, a backslash, or a character that can't be seen")
    variable = [piece for piece in segment if isinstance(piece, _Token) and piece.name in _VARIABLE]
    fixed = _most(segment) - sum(token.most for token in variable)
    share = (SEGMENT_BYTES - fixed) // max(len(variable), 1)
    if share < (LEAST_SHARE if variable else 0):
        raise ValueError(f"one of its segments has too little room: {SEGMENT_BYTES} bytes are the most")
    return tuple(_Token(piece.name, min(piece.most, share)) if piece in variable else piece for piece in segment)


def _most(segment: _Segment) -> int:
    """Return the most bytes that a segment can have."""
    return sum(len(piece.encode()) if isinstance(piece, str) else piece.most for piece in segment)


def _distinct(piece: str | _Token) -> str:
    """Return the name of a value that tells files apart; empty for others, and for the first digits of a SHA-256."""
    if isinstance(piece, str) or piece.most < _FIXED.get(piece.name, 0):
        return ""
    return piece.name


def _text(piece: str | _Token, values: PathValues, date: datetime) -> str:
    """Return what a piece of a layout stands for in the path of one file."""
    match piece:
        case str():
            return piece
        case _Token("id"):
            return values.id
        case _Token("sha256"):
            return values.sha256.hex()[: piece.most]
        case _Token("date"):
            return date.strftime(piece.directive)
        case _Token("ext"):
            return safe_name(split_extension(safe_name(values.file_name))[1], piece.most)
        case _:
            return safe_name(values.owner if piece.name == "owner" else values.file_name, piece.most)


def _shortened(text: str, most: int) -> str:
    """Cut a text to so many bytes of UTF-8, at the border of a character."""
    return text.encode()[:most].decode(errors="ignore").rstrip()
