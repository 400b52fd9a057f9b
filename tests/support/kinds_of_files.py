"""Small real files of many kinds, each with the media type that it is recognised as."""

import gzip
import io
import struct
import sys
import tarfile
import wave
import zipfile
import zlib
from pathlib import Path

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
WORD_PARTS = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override '
    b'PartName="/word/document.xml" ContentType="' + WORD.encode() + b'.main+xml"/></Types>'
)


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def _zip(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    return packed.getvalue()


def _wav() -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(800))
    return sound.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "a.png": (_png(), "image/png"),
    "a.jpg": (
        bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + b"\x10" * 64 + b"\xff\xd9",
        "image/jpeg",
    ),
    "a.gif": (b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", "image/gif"),
    "a.webp": (b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0", "image/webp"),
    "a.pdf": (b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n", "application/pdf"),
    "a.zip": (_zip(("a.txt", b"hello" * 100)), "application/zip"),
    "a.docx": (
        _zip(("[Content_Types].xml", WORD_PARTS), ("_rels/.rels", b"<x/>"), ("word/document.xml", b"<w/>")),
        WORD,
    ),
    "a.gz": (gzip.compress(b"hello" * 100), "application/gzip"),
    "a.tar": (_tar(), "application/x-tar"),
    "a.mp4": (
        struct.pack(">I", 32) + b"ftypisom\0\0\2\0isomiso2avc1mp41" + struct.pack(">I", 8) + b"free",
        "video/mp4",
    ),
    "a.mp3": (b"ID3\4\0\0\0\0\0\nTIT2" + bytes(6) + (b"\xff\xfb\x90\x64" + bytes(413)) * 4, "audio/mpeg"),
    "a.wav": (_wav(), "audio/x-wav"),
    "a.elf": (Path(sys.executable).read_bytes()[:8192], "application/x-executable"),
    "a.html": (b"<!DOCTYPE html>\n<html><body>hello</body></html>\n", "text/html"),
    "a.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>\n', "image/svg+xml"),
    "a.xml": (b'<?xml version="1.0"?>\n<note>hello</note>\n', "application/xml"),
    "a.txt": ("Grüße, in plain text.\n".encode() * 10, "text/plain"),
}
