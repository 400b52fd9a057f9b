"""Somebody else's upload takes as long as an unknown one: the stores are asked the same, whatever the request wants."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from token_maker import OwnKey

from onward import Config, create_app, create_runner
from onward.server.http.app_keys import ENGINE
from onward.storage.blobs.backups import DiskBackups
from onward.storage.state.redis.commands import Commands
from onward.storage.state.sqlite import SqliteState

UNKNOWN = "0" * 32
WRONG = b64encode(b"0" * 64).decode()  # the SHA-256 of nothing that is sent here
DRAFT = {"Upload-Draft-Interop-Version": "8"}
REQUESTS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("HEAD", "files/{}", tus.TUS),
    ("HEAD", "files/{}", {}),
    ("HEAD", "files/{}", DRAFT),
    ("GET", "files/{}", {}),
    ("PATCH", "files/{}", tus.TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}),
    ("PATCH", "files/{}", tus.TUS | {"Upload-Offset": "0", "Content-Type": "text/plain"}),
    (
        "PATCH",
        "files/{}",
        DRAFT | {"Upload-Offset": "0", "Content-Type": "application/partial-upload", "Upload-Complete": "?1"},
    ),
    ("DELETE", "files/{}", tus.TUS),
    ("DELETE", "files/{}", DRAFT),
    ("GET", "files/{}/progress", {}),
    ("GET", "files/{}/progress", {"Accept": "text/event-stream"}),
    ("GET", "progress?id={own}&id={}", {}),
    ("GET", "progress?id={}&id={own}", {"Accept": "text/event-stream"}),
    ("POST", "files", tus.TUS | {"Upload-Concat": "final;/files/{own} /files/{}"}),
    ("POST", "files", tus.TUS | {"Upload-Concat": "final;/files/{}", "Idempotency-Key": "one"}),
)


@dataclass
class Scene:
    """A server in this process that notes what it asks its stores."""

    root: str
    key: OwnKey
    asks: bool  # whether the state is a store that is asked at all
    forget: Callable[[], object]  # makes the state forget what it remembers of the store
    asked: list[str] = field(default_factory=list)

    def session(self, sub: str, **claims: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.key.token(sub, **claims)}"})

    async def steps(self, http: aiohttp.ClientSession, own: str, id: str) -> list[list[str]]:
        """Give what the stores are asked for each request about an upload; each is answered 404."""
        found = []
        for method, path, headers in REQUESTS:
            self.asked.clear()
            told = {name: value.replace("{own}", own).replace("{}", id) for name, value in headers.items()}
            url = f"{self.root}/{path.replace('{own}', own).replace('{}', id)}"
            async with http.request(method, url, headers=told) as answer:
                assert answer.status == 404, (method, path)
            found.append(list(self.asked))
        return found


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    state = request.getfixturevalue("redis_url") if request.param == "redis" else f"{request.param}:"
    config = Config(data=str(tmp_path / "data"), state=state, auth="key", sweep_every=3600.0)
    app = create_app(config)
    runner = create_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        recent = getattr(app[ENGINE].records.storage.state, "_recent", {})
        root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        scene = Scene(root, OwnKey(tmp_path / "data" / "auth.key"), request.param != "memory", recent.clear)

        def note(kind: type, name: str) -> None:
            real = getattr(kind, name)

            def noted(self: Any, *arguments: Any, **named: Any) -> Any:
                scene.asked.append(f"{kind.__name__}.{name}")
                return real(self, *arguments, **named)

            monkeypatch.setattr(kind, name, noted)

        asked = *((Commands, name) for name in ("run", "ask", "call")), (SqliteState, "_do"), (DiskBackups, "kept")
        for kind, name in asked:
            note(kind, name)
        yield scene
    finally:
        await runner.cleanup()


async def uploads_of(http: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """Create an upload of each kind, and give their ids."""
    urls = {
        "pending": await tus.create(http, url, 4),
        "begun": await tus.create(http, url, 4),
        "completed": await tus.create(http, url, 4),
        "terminated": await tus.create(http, url, 4),
        "failed": await tus.create(http, url, 4, **{"Upload-Metadata": f"sha256 {WRONG}"}),
        "part": await tus.part(http, url, b"part"),
    }
    for name, body in (("begun", b"a"), ("completed", b"file"), ("failed", b"file")):
        await tus.patch(http, urls[name], 0, body)
    async with http.delete(urls["terminated"], headers=tus.TUS) as answer:
        assert answer.status == 204
    return {name: url.rpartition("/")[2] for name, url in urls.items()}


async def test_the_stores_are_asked_the_same_about_a_foreign_upload_as_about_an_unknown_one(scene: Scene) -> None:
    async with scene.session("alice") as alice, scene.session("bob") as bob:
        hers = await uploads_of(alice, f"{scene.root}/files")
        own = (await tus.part(bob, f"{scene.root}/files", b"mine")).rpartition("/")[2]
        await scene.steps(bob, own, UNKNOWN)  # what is his is remembered from now on
        unknown = await scene.steps(bob, own, UNKNOWN)
        assert scene.asks == all(unknown), unknown
        for name, id_ in hers.items():
            assert await scene.steps(bob, own, id_) == unknown, name
            scene.forget()
            assert await scene.steps(bob, own, id_) == unknown, f"{name}, which is not remembered"


async def test_a_quota_that_is_full_tells_nothing_about_a_foreign_upload(scene: Scene) -> None:
    async with scene.session("alice") as alice, scene.session("bob") as first:
        hers = await uploads_of(alice, f"{scene.root}/files")
        own = (await tus.part(first, f"{scene.root}/files", b"mine")).rpartition("/")[2]
    async with scene.session("bob", onward={"quota": 1, "maxSize": 1}) as bob:
        await scene.steps(bob, own, UNKNOWN)
        unknown = await scene.steps(bob, own, UNKNOWN)
        for name, id_ in hers.items():
            assert await scene.steps(bob, own, id_) == unknown, name
