"""The check of types: the media type of a file is recognised from its first bytes, and compared with an allow-list.

The list is that of `--types`; an upload may have one of its own, from the token that created it, and must pass both.

What a client declares, and the name of the file, count for nothing. `detect` recognises a type:

    text (UTF-8, no control characters)?
      yes  -> looks like HTML or XML?   text/html, image/svg+xml or application/xml
              a format that is text?    application/pdf, application/postscript, application/rtf
              otherwise                 text/plain
      no   -> the library knows it?     image/png, application/zip, …
              looks like HTML or XML?   as above: in another encoding, or with control characters
              otherwise                 None: not recognised

Whether it is text is found out first, because the marks of some binary formats are short: any text that begins with
`BM` would be taken for a bitmap. What looks like HTML or XML is never called plain text, since a browser might run it.
The library is `filetype`; docs/decisions.md says why.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import filetype

from onward.protocol.model import Upload
from onward.server.uploads.checks import HEAD, Content, Rejected
from onward.server.uploads.checks.first_bytes import by_first_byte

ANY = "*/*"
UNRECOGNISED = "application/octet-stream"
SHOWN_KINDS, SHOWN = ("image", "audio", "video"), ("text/plain", "application/pdf")  # without SVG: `--inline`
WRITTEN_AS_TEXT = frozenset({"application/pdf", "application/postscript", "application/rtf"})
HTML, SVG, XML, TEXT = MARKUP_AND_TEXT = ("text/html", "image/svg+xml", "application/xml", "text/plain")
# How files of some types begin, which can't be told from their matchers. Some of them look at much more.
_BEGINNINGS = {"application/vnd.o": b"PK\3\4", "video/webm": b"\x1aE\xdf\xa3", "video/x-matroska": b"\x1aE\xdf\xa3"}
_KINDS = tuple(
    (next((begins for mime, begins in _BEGINNINGS.items() if kind.mime.startswith(mime)), b""), kind)
    for kind in filetype.TYPES
)
# By the first byte of a file: the types that it may have, in the order of the library.
_MAY_BE = by_first_byte([(kind.match, (begins, kind)) for begins, kind in _KINDS])
_ALLOWED = re.compile(r"\*/\*|([a-z]+)/(\*|[a-z0-9][a-z0-9.+-]*)", re.ASCII)
_IN_TEXT = bytes({*range(0x20, 0x100), *b"\t\n\f\r\b\x1b"} - {0x7F})
_PROLOG = re.compile(rb"(?:\s|\xef\xbb\xbf|<\?.*?\?>|<!--.*?-->|<!doctype\s[^<>\[]*(?:\[.*?\]\s*)?>)*", re.DOTALL)
_ROOT = re.compile(rb"<(?:[a-z][\w.-]*:)?([a-z][\w.-]*)(?=[\s/>])")
_DOCTYPE_HTML = re.compile(rb"<!doctype\s+html")
_RUNS = re.compile(rb"<(?:script|html|svg|iframe|body|object|embed)[\s/>]|<!doctype\s")


class TypeCheck:
    """Refuses a file whose type is not on an allow-list, which is as `read_types` returns it."""

    name, early = "types", True

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(allowed)

    async def __call__(self, upload: Upload, content: Content) -> None:  # noqa: ARG002
        """Note the type of a file. Raises Rejected with 415 if it is not allowed."""
        found = detect(await content.head())
        if not is_allowed(found, self._allowed):
            files = "Files whose type can't be recognised" if found is None else f"Files of the type {found}"
            accepted = f"{files} are not accepted; accepted are {', '.join(self._allowed)}."
            raise Rejected("type-not-allowed", 415, "A file of this type is not accepted", accepted)
        content.content_type = found


def read_types(words: Iterable[str]) -> tuple[str, ...]:
    """Read an allow-list of media types, such as `image/*`. Raises ValueError for one that no file could ever have."""
    allowed = tuple(dict.fromkeys(word.strip().lower() for word in words))
    for word in allowed:
        found = _ALLOWED.fullmatch(word)
        if not found:
            raise ValueError(f"{word!r} is not a media type such as image/png, image/* or */*")
        if not any(is_allowed(known, (word,)) for known in known_types()):
            near = get_close_matches(word, sorted(known_types()), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{word!r} is never recognised, so no file would be accepted as it{meant}")
    return allowed


def read_inline(words: Iterable[str]) -> tuple[str, ...]:
    """Read the types that browsers may show. Raises ValueError for one that a browser might run scripts of."""
    types = read_types(words)
    for word in types:
        kind, _, subtype = word.partition("/")
        if word not in SHOWN and (kind not in SHOWN_KINDS or "xml" in subtype):
            raise ValueError(
                f"{word!r} can't be shown safely; what can is image/*, audio/*, video/*, {' and '.join(SHOWN)}"
            )
    return types


def is_shown(found: str | None, inline: Iterable[str]) -> bool:
    """Return whether a download of this type is shown by browsers; SVG never is, since it may have scripts."""
    return found not in (None, SVG) and is_allowed(found, inline)


def known_types() -> frozenset[str]:
    """Return all media types that can be recognised, and the one that stands for all other files."""
    return frozenset({*MARKUP_AND_TEXT, UNRECOGNISED, *(str(kind.mime) for kind in filetype.TYPES)})


def is_allowed(found: str | None, allowed: Iterable[str]) -> bool:
    """Return whether an allow-list has a type; `x-` makes no difference. None is a type that was not recognised."""
    kind, _, subtype = (found or UNRECOGNISED).partition("/")
    subtype = subtype.removeprefix("x-")
    for word in allowed:
        allowed_kind, _, allowed_subtype = word.partition("/")
        if word == ANY or (found, allowed_subtype) == (None, subtype):
            return True
        if found and allowed_kind == kind and allowed_subtype.removeprefix("x-") in ("*", subtype):
            return True
    return False


def detect(head: bytes) -> str | None:
    """Return the media type of a file from its first HEAD bytes; None if it can't be recognised, or is empty."""
    head = head[:HEAD]
    if not head:
        return None
    kinds = _MAY_BE[head[0]]
    known = next((str(kind.mime) for begins, kind in kinds if head.startswith(begins) and kind.match(head)), None)
    mime = None if known == UNRECOGNISED else known
    if not _is_text(head):
        return mime or _markup(head)
    return mime if mime in WRITTEN_AS_TEXT else _markup(head) or TEXT


def _is_text(head: bytes) -> bool:
    """Return whether bytes are UTF-8 without control characters; the last character may be cut."""
    if head.translate(None, _IN_TEXT):
        return False
    for cut in range(4 if len(head) == HEAD else 1):
        try:
            head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def _markup(head: bytes) -> str | None:
    """Return which markup language bytes look like, or None."""
    lower = head.lower()
    prolog = _PROLOG.match(lower)
    end = prolog.end() if prolog else 0
    root = _ROOT.match(lower, end)
    if root and root[1] == b"svg":
        return SVG
    if _DOCTYPE_HTML.search(lower, 0, end) or (root and root[1] == b"html"):
        return HTML
    if b"<?xml" in lower[:end] or b"<!doctype" in lower[:end] or lower.startswith((b"<?xml", b"<!doctype"), end):
        return XML
    return HTML if root or lower.startswith(b"<!--", end) or _RUNS.search(lower) else None
