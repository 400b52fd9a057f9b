"""A short body that comes with its head is stored without aiohttp's requests, and then exactly as on the slow path."""

import re
from collections.abc import AsyncIterator
from io import StringIO
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from in_process_site import ID, OCTETS, TUS, Site, served

from onward.server.http.app_keys import ENGINE

CHANGING = re.compile(
    rb'Date: [^\r]*|Upload-Expires: [^\r]*|"time":"[^"]*"|"durationMs":[0-9.]+|(?<= )[0-9]+ ms '
    rb'|[0-9a-f]{32}|upload [0-9a-f]{8}|/[0-9a-f]*(?=\x27)|[0-9a-f]{12}-[0-9a-f]+|"line":[0-9]+'
)  # what differs between any two requests
WRONG = f"{'A' * 43}="
DIALECTS = (TUS, *(f"Upload-Draft-Interop-Version: {version}\r\n" for version in (6, 8, 99)), "")
PARTIAL = "Content-Type: application/partial-upload\r\n"
FOUR = (f"{OCTETS}Content-Length: 4\r\n", "four")
NONE = ("Content-Length: 0\r\n", "")
# Headers of creations, with a body, and whether a creation of tus takes the fast path with them.
CREATIONS = (
    ("Upload-Length: 4\r\n", FOUR, True),
    ("Upload-Length: 9\r\n", FOUR, True),
    ("Upload-Length: 9\r\n", NONE, True),
    ("Upload-Length: 9\r\n", ("", ""), True),
    ("Upload-Length: 3\r\n", FOUR, False),  # too many bytes
    ("Upload-Length: 0\r\n", NONE, False),
    ("Upload-Length: 4\r\nUpload-Metadata: filename YS50eHQ=\r\n", FOUR, True),
    ("Upload-Length: 4\r\nUpload-Metadata: filename ?\r\n", FOUR, False),
    (f"Upload-Length: 4\r\nRepr-Digest: sha-256=:{WRONG}:\r\n", FOUR, False),
    ("Upload-Length: 4\r\nUpload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", FOUR, False),
    ("Upload-Length: 9999999999999\r\n", FOUR, False),
    ("Upload-Defer-Length: 1\r\n", FOUR, True),
    ("Upload-Length: 4\r\nUpload-Concat: partial\r\n", FOUR, False),
    ('Upload-Length: 4\r\nIdempotency-Key: "KEY"\r\n', FOUR, False),
    ("Upload-Length: 4\r\n", ("Content-Length: 4\r\n", "four"), False),  # no media type
    ("Upload-Length: 4\r\nUpload-Complete: ?1\r\n", FOUR, True),
    ("Upload-Length: 4\r\nUpload-Complete: ?0\r\n", FOUR, True),
    ("Upload-Length: 4\r\nUpload-Length: 4\r\n", FOUR, False),
)
# Headers of PATCHes to an upload of nine bytes, with a body, and whether tus takes the fast path.
PATCHES = (
    ("Upload-Offset: 0\r\n", FOUR, True),
    ("Upload-Offset: 0\r\n", (f"{OCTETS}Content-Length: 9\r\n", "nine byte"), True),
    ("Upload-Offset: 0\r\nUpload-Complete: ?1\r\n", (f"{OCTETS}Content-Length: 9\r\n", "nine byte"), True),
    ("Upload-Offset: 0\r\n", (f"{OCTETS}Content-Length: 10\r\n", "ten bytes."), False),
    ("Upload-Offset: 1\r\n", FOUR, False),
    ("Upload-Offset: x\r\n", FOUR, False),
    ("", FOUR, False),
    ("Upload-Offset: 0\r\n", (f"{OCTETS}Content-Length: 0\r\n", ""), False),
    ("Upload-Offset: 0\r\nUpload-Length: 9\r\n", FOUR, True),
    ("Upload-Offset: 0\r\nUpload-Length: 8\r\n", FOUR, False),
    (f"Upload-Offset: 0\r\nRepr-Digest: sha-256=:{WRONG}:\r\n", (f"{OCTETS}Content-Length: 9\r\n", "nine byte"), False),
    ("Upload-Offset: 0\r\nUpload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", FOUR, False),
    ("Upload-Offset: 0\r\n", (f"{PARTIAL}Content-Length: 4\r\n", "four"), False),
    ("Upload-Offset: 0\r\nUpload-Complete: ?0\r\n", (f"{PARTIAL}Content-Length: 4\r\n", "four"), False),
    ("Upload-Offset: 0\r\nUpload-Complete: ?1\r\n", (f"{PARTIAL}Content-Length: 9\r\n", "nine byte"), False),
)
# What either may have besides, and whether it takes the fast path with it.
FURTHER = {
    "": True,
    "Origin: https://app.example\r\n": True,
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /c\r\n": True,
    "Via: 1.1 a\r\n": True,
    "Forwarded: for=192.0.2.1;proto=https;host=b\r\n": False,
    "Expect: 100-continue\r\n": False,
    "Expect: else\r\n": False,
    "Connection: close\r\n": False,
    "X-HTTP-Method-Override: HEAD\r\n": False,
    "Content-Encoding: identity\r\n": True,
}
OTHER: dict[str, Any] = {
    "cors_origins": ("https://app.example",), "cors_credentials": True, "trusted_proxies": ("127.0.0.0/8",),
    "max_request": 2**20, "max_size": 2**30, "base_path": "/a/b", "expire_after": 3600.0,
}  # fmt: skip


@pytest.fixture(params=[{}, OTHER, {"max_request": 8}, {"redis": True}], ids=["usual", "other", "small", "redis"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    options = dict(request.param)
    if options.pop("redis", False):
        options["state"] = request.getfixturevalue("redis_url")
    async with served(tmp_path, **options) as site:
        yield site


class Seen:
    """Sends a request and looks at everything that comes of it."""

    def __init__(self, site: Site, lines: StringIO) -> None:
        self._site, self._lines, self._keys = site, lines, count()

    async def of(self, request: bytes) -> tuple[object, ...]:
        """Return the answer, what the server has counted and logged, and what HEAD says of the upload then."""
        measures = self._site.app[ENGINE].records.measures
        request = request.replace(b"KEY", str(next(self._keys)).encode())
        self._lines.truncate(0)
        self._lines.seek(0)
        measures.requests.clear()
        created = measures.created
        self._site.stored = 0
        answer = await self._site.talk(request)
        created = measures.created - created
        counted, told = dict(measures.requests), self._lines.getvalue().encode()
        on_fast_path = self._site.stored
        for path in re.findall(rb"Location: \S*(%s/[0-9a-f]{32})" % self._site.prefix.encode(), answer):
            answer += await self._site.talk(asks(path.decode()))
        self.on_fast_path = on_fast_path
        return CHANGING.sub(b"", answer), sorted(CHANGING.sub(b"", told).splitlines()), counted, created


def asks(path: str) -> bytes:
    return f"HEAD {path} HTTP/1.1\r\nHost: a\r\n{TUS}\r\n".encode()


def request(method: str, path: str, headers: str, body: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {ID}\r\n{headers}\r\n{body}".encode()


async def test_both_ways_create_answer_count_and_log_the_same(site: Site, lines: StringIO) -> None:
    seen, plain = Seen(site, lines), 0
    for (headers, (sized, body), may), dialect, (further, also) in product(CREATIONS, DIALECTS, FURTHER.items()):
        if further and (headers, sized) != (CREATIONS[0][0], CREATIONS[0][1][0]):
            continue
        message = request("POST", site.prefix, dialect + sized + headers + further, body)
        short = await seen.of(message)
        on_fast_path = seen.on_fast_path
        with site.slow_path():
            assert await seen.of(message) == short, message
        assert f"{ID}".encode() in b"".join(short[1]), message  # type: ignore[arg-type]
        if dialect == TUS and "Complete" not in headers:
            assert on_fast_path == (may and also), message
        plain += on_fast_path
    assert plain


async def test_both_ways_append_answer_count_and_log_the_same(site: Site, lines: StringIO) -> None:
    seen = Seen(site, lines)
    for (headers, (sized, body), may), dialect, (further, also) in product(PATCHES, DIALECTS, FURTHER.items()):
        if further and (headers, sized) != (PATCHES[0][0], PATCHES[0][1][0]):
            continue
        both = []
        for usual in (False, True):
            path = await site.create("Upload-Length: 9\r\n")
            message = request("PATCH", path, dialect + sized + headers + further, body)
            if usual:
                with site.slow_path():
                    both.append(await seen.of(message) + (CHANGING.sub(b"", await site.talk(asks(path))),))
            else:
                both.append(await seen.of(message) + (CHANGING.sub(b"", await site.talk(asks(path))),))
                on_fast_path = seen.on_fast_path
        assert both[0] == both[1], message
        if dialect == TUS and "Complete" not in headers:
            fits = len(body) <= (site.app[ENGINE].limits.max_request or len(body))
            assert on_fast_path == (may and also and fits), message
