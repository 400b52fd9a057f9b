"""Bodies of forms, as bytes."""

from collections.abc import Sequence

from http_connection import Headers, Tus

BOUNDARY = "boundary"
Part = tuple[str, bytes]  # the lines of its head, and its bytes


def field(name: str, value: bytes) -> Part:
    """Write a text field."""
    return f'Content-Disposition: form-data; name="{name}"', value


def file(file_name: str, data: bytes, media_type: str = "application/octet-stream", name: str = "f") -> Part:
    """Write a file."""
    return f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"\r\nContent-Type: {media_type}', data


def form(*parts: Part, boundary: str = BOUNDARY) -> bytes:
    """Write a whole form."""
    mark = f"--{boundary}".encode()
    return b"".join(b"%b\r\n%b\r\n\r\n%b\r\n" % (mark, head.encode(), data) for head, data in parts) + mark + b"--\r\n"


def headers(size: int | None, more: Headers | None = None) -> Headers:
    """Write the headers of a form; without a size it goes in chunks."""
    length = None if size is None else str(size)
    return {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": length,
        "Tus-Resumable": None,
        **(more or {}),
    }


def post(tus: Tus, body: bytes, more: Headers | None = None, parts: Sequence[bytes] | None = None) -> bytes:
    """Write the request of a form."""
    return tus.request("POST", tus.files, headers(None if parts else len(body), more), body, parts)
