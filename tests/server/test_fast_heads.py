"""HEAD is answered at once where that is right, and then exactly as it is answered on the slow path."""

import re
from collections.abc import AsyncIterator, Callable
from io import StringIO
from itertools import product
from pathlib import Path

import pytest
from in_process_site import ID, OCTETS, TUS, Site, head, served

from onward.server.http.app_keys import ENGINE

CHANGING = re.compile(rb'Date: [^\r]*|"time":"[^"]*"|"durationMs":[0-9.]+| [0-9]+ ms |(max-age|expires)=[0-9]+')
DIALECTS = (
    TUS, "Upload-Draft-Interop-Version: 6\r\n", "Upload-Draft-Interop-Version: 8\r\n",
    "Upload-Draft-Interop-Version: 9\r\n", "Upload-Draft-Interop-Version: 10\r\n",
    "Upload-Draft-Interop-Version: 99\r\n", "Upload-Complete: ?1\r\n", "",
)  # fmt: skip
# What a request may have besides the headers of its dialect, and whether it may be answered at once with it.
FURTHER = {
    "": True,
    "Connection: keep-alive\r\n": True,
    "Origin: https://app.example\r\n": True,
    "Origin: https://evil.example\r\n": True,
    "Origin: https://app.example\r\nOrigin: https://app.example\r\n": True,
    "X-Forwarded-For: 192.0.2.1, 192.0.2.7\r\n": True,
    "Accept: a\r\nAccept: b\r\n": True,
    "Range: bytes=0-1\r\n": True,
    "Tus-Resumable: 1.0.0\r\n": False,  # twice
    "Tus-Resumable: 0.2.2\r\n": False,
    "Upload-Offset: 1\r\n": True,
    "Content-Length: 0\r\n": False,
    "Connection: close\r\n": False,
    "Expect: 100-continue\r\n": False,
    "Expect: else\r\n": False,
    "Forwarded: for=192.0.2.1\r\n": False,
    "Transfer-Encoding: gzip, chunked\r\n": False,
    "X-HTTP-Method-Override: GET\r\n": False,
    "X-HTTP-Method-Override: HEAD\r\n": True,
}


async def uploads(site: Site) -> dict[str, bool]:
    """Make uploads in every state; whether tus gets an answer about them at once."""
    created = await site.create("Upload-Length: 9\r\nUpload-Metadata: filename YS50eHQ=\r\n")
    begun, ended = await site.create("Upload-Length: 9\r\n", "four"), await site.create("Upload-Length: 4\r\n", "four")
    part = await site.create("Upload-Length: 4\r\nUpload-Concat: partial\r\n", "four")
    half = await site.create("Upload-Length: 4\r\nUpload-Concat: partial\r\n", "fo")
    final = await site.create(f"Upload-Concat: final;{part}\r\n")
    waiting = await site.create(f"Upload-Concat: final;{half}\r\n")
    gone = await site.create("Upload-Length: 4\r\n")
    await site.ask(f"DELETE {gone} HTTP/1.1\r\nHost: a\r\n{TUS}\r\n".encode())
    bad = await site.create(f"Upload-Length: 4\r\nRepr-Digest: sha-256=:{'A' * 43}=:\r\n")
    await site.ask(
        f"PATCH {bad} HTTP/1.1\r\nHost: a\r\n{TUS}{OCTETS}Upload-Offset: 0\r\nContent-Length: 4\r\n\r\nfour".encode()
    )
    deferred = await site.create("Upload-Defer-Length: 1\r\n", "four")
    return {
        created: True, begun: True, ended: True, part: True, final: True, deferred: True,
        waiting: False, gone: False, bad: False, f"{site.prefix}/{'0' * 32}": False,
    }  # fmt: skip


@pytest.fixture(
    params=[
        {},
        {
            "cors_origins": ("https://app.example",), "cors_credentials": True, "trusted_proxies": ("127.0.0.0/8",),
            "max_request": 2**20, "base_path": "/a/b",
        },
        {"state": "redis"},
    ],
    ids=["usual", "other", "redis"],
)  # fmt: skip
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    options = dict(request.param)
    if options.get("state") == "redis":
        options["state"] = request.getfixturevalue("redis_url")
    async with served(tmp_path, **options) as site:
        yield site


async def test_both_ways_answer_count_and_log_the_same(site: Site, lines: StringIO) -> None:
    measures = site.app[ENGINE].records.measures.requests
    known = await uploads(site)

    async def seen(request: bytes) -> tuple[object, ...]:
        lines.truncate(0)
        lines.seek(0)
        measures.clear()
        site.at_once = 0
        answer = CHANGING.sub(b"", (await site.ask(request))[0])
        told = CHANGING.sub(b"", lines.getvalue().encode())
        assert ID.encode() in told
        return answer, told, dict(measures)

    for (path, plain), dialect, (further, may) in product(known.items(), DIALECTS, FURTHER.items()):
        if not may and not plain:
            continue  # it takes the slow path for two reasons
        request = head(path, dialect + further)
        fast, at_once = await seen(request), site.at_once
        with site.slow_path():
            assert await seen(request) == fast, request
        if dialect == TUS:
            assert at_once == (plain and may), request
        elif not dialect and not further.startswith("Tus-"):
            assert not at_once, request


@pytest.mark.parametrize(
    ("change", "at_once"),
    [
        (head, 1),
        (lambda path: head(path, version="1.0"), 0),
        (lambda path: head(f"{path}?a=b"), 0),
        (lambda path: head(f"{path}/"), 0),
        (lambda path: head(f"http://a{path}"), 0),
        (lambda path: head(path[:-1] + "%30"), 0),
        (lambda path: head(path.upper()), 0),
        (lambda path: head(path).replace(b"Host: a\r\n", b""), 0),
        (lambda path: head(path).replace(b"Host: a\r\n", b"Host: a b\r\n"), 0),
        (lambda path: head(path).replace(b"Host: a\r\n", b"Host: a\r\nHost: a\r\n"), 0),
        (lambda path: head(path).replace(b"HEAD", b"OPTIONS"), 0),
        (lambda path: head(path).replace(ID.encode(), b"(odd)"), 1),
        (lambda path: head(path, f"{TUS}X: {'x' * 9000}\r\n"), 0),
        (lambda path: head(path, f"{TUS}X: a\r\n b: c\r\n"), 0),
        (lambda path: head(path, f"{TUS}Connection: upgrade\r\nUpgrade: websocket\r\n"), 0),
    ],
)
async def test_odd_requests_go_the_usual_way(change: Callable[[str], bytes], at_once: int, tmp_path: Path) -> None:
    async with served(tmp_path, state="memory:") as site:
        request = change(await site.create("Upload-Length: 9\r\n"))
        fast = await site.ask(request)
        assert site.at_once == at_once
        with site.slow_path():
            usual = await site.ask(request)
        hide = re.compile(rb"Date: [^\r]*|X-Request-ID: [0-9a-f]+-[0-9a-f]+")
        assert [hide.sub(b"", each) for each in fast] == [hide.sub(b"", each) for each in usual]
