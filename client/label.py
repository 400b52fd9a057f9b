"""What an upload is called on the server, and what else is said about it: its name and its metadata."""

import mimetypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from onward.client.protocols import IETF, Protocol
from onward.protocol.headers import MAX_METADATA_KEYS, is_metadata_key

OWN_KEYS = ("filename", "filetype")  # written for every file, unless the metadata has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The name of an upload, None for that of its file, and further metadata."""

    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def headers(self, protocol: Protocol, file_name: str) -> dict[str, str]:
        """Return the headers of a creation that say this."""
        name = self.name or file_name
        more = {key: os.fsencode(value) for key, value in self.metadata.items()}
        return protocol.name(os.fsencode(name), mimetypes.guess_type(name)[0], more)


def read_label(name: str | None, metadata: Mapping[str, str] | None, protocol: str) -> Label:
    """Read a name and metadata; raises ValueError."""
    if name is not None and not name:
        raise ValueError("name: it is empty")
    metadata = metadata or {}
    if metadata and protocol == IETF:
        raise ValueError("metadata: the IETF draft knows only the name of a file; use the protocol tus")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or not is_metadata_key(key):
            raise ValueError(f"metadata: {key!r} is not a key: it may have letters, digits and signs, but no space")
    if len({*metadata, *OWN_KEYS}) > MAX_METADATA_KEYS:
        raise ValueError(f"metadata: there may be {MAX_METADATA_KEYS} keys at most, with those of the file's name")
    return Label(name=name, metadata=dict(metadata))
