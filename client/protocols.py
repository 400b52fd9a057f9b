"""The protocols that the client speaks: what each writes into a request, and how it says that an upload is finished.

tus 1.0.0 finishes an upload with its last byte. In the IETF draft "Resumable Uploads for HTTP" the client says with
each request whether it is the last one (`Upload-Complete: ?1`), and the server says whether the upload is finished. The
client sends the interop version 6, which most servers know, and creates an upload without a body, so that it needs no
informational replies (104). `connection.py` sends what is written here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onward.protocol.dialects import tus1
from onward.protocol.headers import build_disposition, build_metadata

TUS, IETF = NAMES = ("tus", "ietf")
UNKNOWN_TYPE = "application/octet-stream"
INTEROP_VERSION = "6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What differs between the protocols."""

    # The headers of every request.
    marks: Mapping[str, str]
    # Return the headers that name a file and its type, and add further metadata.
    name: Callable[[bytes, str | None, Mapping[str, bytes]], dict[str, str]]
    # Return the headers of a creation: of an upload of this length, None for one that is not known yet.
    create: Callable[[int | None], dict[str, str]]
    # Return the headers of a body, and whether it ends the upload.
    append: Callable[[bool], dict[str, str]]
    # Return the headers that state a length which was not known at the creation, with the last body.
    end: Callable[[int], dict[str, str]]
    # Return whether a server that answers OPTIONS with these headers takes uploads.
    offered: Callable[[Mapping[str, str]], bool]
    # Return whether an upload is finished, from the headers of a reply; None where the offset alone says that.
    finished: Callable[[Mapping[str, str]], bool | None]
    # Whether a server may lack features, and lists those that it has.
    has_extensions: bool


def _tus_length(length: int | None) -> dict[str, str]:
    return {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}


def _metadata(name: bytes, media_type: str | None, more: Mapping[str, bytes]) -> dict[str, str]:
    own = {"filename": name, "filetype": (media_type or UNKNOWN_TYPE).encode()}
    return {"Upload-Metadata": build_metadata({**own, **more})}


def _disposition(name: bytes, media_type: str | None, _: Mapping[str, bytes]) -> dict[str, str]:
    disposition = build_disposition("attachment", name.decode("utf-8", "replace"))
    return {"Content-Disposition": disposition, "Content-Type": media_type or UNKNOWN_TYPE}


def _ietf_length(length: int | None) -> dict[str, str]:
    stated = {} if length is None else {"Upload-Length": str(length)}
    return {"Upload-Complete": "?0", **stated}


PROTOCOLS: Mapping[str, Protocol] = {
    TUS: Protocol(
        marks={"Tus-Resumable": tus1.VERSION},
        name=_metadata,
        create=_tus_length,
        append=lambda _: {"Content-Type": tus1.CONTENT_TYPE},
        end=_tus_length,
        offered=lambda headers: bool(headers.get("Tus-Extension", "").strip(" ,")),
        finished=lambda _: None,
        has_extensions=True,
    ),
    IETF: Protocol(
        marks={"Upload-Draft-Interop-Version": INTEROP_VERSION},
        name=_disposition,
        create=_ietf_length,
        append=lambda ends: {
            "Content-Type": "application/partial-upload",
            "Upload-Complete": "?1" if ends else "?0",
        },
        end=lambda _: {},
        offered=lambda headers: "Upload-Limit" in headers,
        finished=lambda headers: headers.get("Upload-Complete", "").partition(";")[0].strip() == "?1",
        has_extensions=False,
    ),
}
