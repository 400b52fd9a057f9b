"""Forms: how the parts of `multipart/form-data` (RFC 7578) become uploads with metadata.

The bytes of a form are taken apart in `server/http/`; here is what its parts mean. `server/http/forms.py` gives each
text field to `FormFields`, and asks it for the `CreateRequest` of each file. The text fields before a file become its
metadata, as far as they fit there; all text fields are in the reply.
"""

from unicodedata import category
from urllib.parse import unquote

from onward.protocol.errors import BadRequest, TooLarge
from onward.protocol.headers import MAX_METADATA, MAX_METADATA_KEYS, build_metadata, is_metadata_key, parse_hex_sha256
from onward.protocol.model import CreateRequest
from onward.protocol.plain import MOST_NAME, plain_type

MOST_FILES = MOST_FIELDS = 100
MOST_FIELD = 2**16  # bytes of a text field
CHARSET = "_charset_"  # a field in which browsers tell how they encode names and text (RFC 7578, 4.6)
PROMISE = "sha256"  # a field that promises the SHA-256 of the file that comes next
_UTF_8 = frozenset({"", "utf-8", "utf8"})


class FormFields:
    """The text fields of a form as far as it was read; `values` has a list for a name that came more than once."""

    def __init__(self) -> None:
        self.values: dict[str, str | list[str]] = {}
        self._pairs: dict[str, bytes] = {}
        self._count = 0

    def add(self, name: str, raw: bytes) -> None:
        """Add a text field. Raises BadRequest or TooLarge."""
        self._count += 1
        if self._count > MOST_FIELDS:
            raise TooLarge(f"A form has {MOST_FIELDS} text fields at most.")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise BadRequest("A text field must be UTF-8.") from None
        if name == CHARSET:
            if text.strip().lower() not in _UTF_8:
                raise BadRequest("The names and the text of a form must be UTF-8.")
            return
        earlier = self.values.get(name)
        if earlier is None:
            self.values[name] = text
        else:
            self.values[name] = [*earlier, text] if isinstance(earlier, list) else [earlier, text]
        self._pairs[name] = raw

    def creation(self, file_name: str, media_type: str) -> CreateRequest:
        """Return the request to create the next file. Raises BadRequest for a field `sha256` that is none.

        The name and the type of the part come first in the metadata; a text field that does not fit any more, or whose
        name can't be a key, is left out.
        """
        promised = self._pairs.pop(PROMISE, b"")
        pairs = {"filename": readable_name(file_name).encode(), "filetype": plain_type(media_type), PROMISE: promised}
        pairs = {key: value for key, value in pairs.items() if value}
        room = MAX_METADATA - sum(map(_size, pairs, pairs.values()))
        for key, value in self._pairs.items():
            size = _size(key, value)
            if key not in pairs and is_metadata_key(key) and size <= room and len(pairs) < MAX_METADATA_KEYS:
                pairs[key], room = value, room - size
        return CreateRequest(
            length=None,
            metadata=build_metadata(pairs) or None,
            promised=parse_hex_sha256(promised) if promised else None,
            body_size=None,
            has_body=True,
            in_one_request=True,
        )


def _size(key: str, value: bytes) -> int:
    """Return how many bytes of Upload-Metadata a pair takes, with a comma."""
    return len(key) + 1 + (len(value) + 2) // 3 * 4 + 1


def readable_name(name: str) -> str:
    """Return a file name as it is told: without control characters, and with MOST_NAME bytes at most."""
    seen = "".join(letter for letter in name if category(letter) != "Cc")
    return seen.encode()[:MOST_NAME].decode(errors="ignore")


def parse_extended(value: str) -> str:
    """Read the value of `filename*` (RFC 8187). Raises BadRequest."""
    charset, quote, rest = value.partition("'")
    _, second, encoded = rest.partition("'")
    if not quote or not second or charset.lower() != "utf-8":
        raise BadRequest("filename* must be UTF-8, as UTF-8''NAME.")
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("filename* must be UTF-8, as UTF-8''NAME.") from None
