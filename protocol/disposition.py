"""The name of a file in Content-Disposition (RFC 6266) as a client sends it with the file.

The dialects and forms read it; `headers.py` writes the header for downloads. A header that breaks the grammar names no
file.
"""

import re
from urllib.parse import unquote_to_bytes

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_WORD})[ \t]*=[ \t]*({_WORD}|"(?:[^"\\]|\\.)*"))?', re.ASCII | re.DOTALL)
_TYPE = re.compile(rf"[ \t]*{_WORD}", re.ASCII)
_EXTENDED = re.compile(
    r"(utf-8|iso-8859-1)'[A-Za-z0-9-]*'((?:[!#$&+.^_`|~0-9A-Za-z-]|%[0-9A-Fa-f]{2})*)", re.ASCII | re.I
)


def parse_file_name(value: str) -> str | None:
    """Return the file name in Content-Disposition; `filename*` wins over `filename`. None if there is none."""
    parameters = parse_parameters(value)
    extended = _EXTENDED.fullmatch(parameters.get("filename*", ""))
    if extended is not None:
        try:
            return unquote_to_bytes(extended[2]).decode(extended[1].lower()) or None
        except UnicodeDecodeError:
            pass  # the plain one may be right
    plain = parameters.get("filename", "")
    if plain.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", plain[1:-1], flags=re.DOTALL)
    return decode_raw(plain) or None


def decode_raw(value: str) -> str:
    """Return a header value as text: its raw bytes are UTF-8, or else ISO-8859-1."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def parse_parameters(value: str) -> dict[str, str]:
    """Read the parameters, with the quotes around their values. Their names are in lower case.

    The dictionary is empty if the header breaks the grammar or names a parameter twice.
    """
    match = _TYPE.match(value)
    parameters: dict[str, str] = {}
    while match is not None and match.end() < len(value.rstrip(" \t")):
        match = _PARAMETER.match(value, match.end())
        if match is None or (match[1] or "").lower() in parameters:
            return {}
        if match[1]:
            parameters[match[1].lower()] = match[2]
    return parameters
