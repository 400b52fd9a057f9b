"""The keys of an identity provider: fetched in the background, exchanged, and kept while the provider is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from token_maker import AUDIENCE, ISSUER, OwnKey, Provider

from onward import ConfigError
from onward.protocol.claims import LEEWAY
from onward.protocol.errors import InvalidToken, Unavailable
from onward.server.access import key_set, tokens
from onward.server.access.key_file import read_or_make
from onward.server.access.key_set import KeySet, read_keys
from onward.server.access.tokens import Tokens


class Endpoint:
    """Where a provider publishes its keys; it may be down, slow or confused."""

    def __init__(self) -> None:
        self.provider, self.asked, self.status, self.wait = Provider(), 0, 200, asyncio.Event()
        self.text: str | None = None
        self.wait.set()
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.wait.wait()
        text = json.dumps(self.provider.key_set()) if self.text is None else self.text
        return web.Response(status=self.status, text=text, headers={"Location": "http://127.0.0.1:9/"})


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint, app = Endpoint(), web.Application()
    app.router.add_get("/keys", endpoint.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://user:password@127.0.0.1:{runner.addresses[0][1]}/keys"
        yield endpoint
    finally:
        endpoint.wait.set()
        await runner.cleanup()


@pytest.fixture
async def verifying(endpoint: Endpoint) -> AsyncIterator[Tokens]:
    verifying = Tokens(key=None, key_set=endpoint.url, issuer=ISSUER, audience=AUDIENCE)
    verifying.start()
    try:
        yield verifying
    finally:
        await verifying.close()


async def owner(verifying: Tokens, token: str) -> str | None:
    return (await verifying.read(token, time.time())).owner


async def test_an_unknown_key_has_the_set_read_again_but_only_once_a_minute(
    endpoint: Endpoint, verifying: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = endpoint.provider
    for algorithm in old.keys:
        assert await owner(verifying, old.token(algorithm)) == "alice"
    asked = endpoint.asked
    endpoint.provider = Provider()
    new = endpoint.provider.token(headers={"kid": "new"})
    endpoint.text = json.dumps(endpoint.provider.key_set(RS256={"kid": "new"}))
    assert await asyncio.gather(*(owner(verifying, new) for _ in range(50))) == ["alice"] * 50
    assert endpoint.asked == asked + 1
    for number in range(20):
        with pytest.raises(InvalidToken):
            await owner(verifying, endpoint.provider.token(headers={"kid": f"unknown{number}"}))
    assert endpoint.asked == asked + 1
    with pytest.raises(InvalidToken):
        await owner(verifying, old.token()), "a verified token of an old key is not remembered"
    monkeypatch.setattr(key_set, "AT_MOST_EVERY", 0.0)
    with pytest.raises(InvalidToken):
        await owner(verifying, old.token(headers={"kid": "unknown"}))
    assert endpoint.asked == asked + 2


@pytest.mark.parametrize(
    ("status", "text"), [(500, None), (200, "<html>"), (200, '{"keys":[]}'), (302, None), (200, "x" * 2**19)]
)
async def test_keys_stay_while_the_provider_is_away(
    endpoint: Endpoint, verifying: Tokens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    status: int, text: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(key_set, "AT_MOST_EVERY", 0.0)
    token = endpoint.provider.token()
    assert await owner(verifying, token) == "alice"
    endpoint.status, endpoint.text = status, text
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await owner(verifying, endpoint.provider.token(headers={"kid": "unknown"}))
        assert await owner(verifying, endpoint.provider.token(sub="alice", nbf=1)) == "alice"
    assert caplog.text.count("the keys of the identity provider at 127.0.0.1 can't be read") == 1
    assert "password" not in caplog.text
    assert "the 3 known ones stay" in caplog.text


async def test_a_start_does_not_wait_and_tokens_are_not_judged_before_there_are_keys(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.wait.clear()
    monkeypatch.setattr(key_set, "WITHIN", 0.1)
    verifying = Tokens(key=None, key_set=endpoint.url, issuer=ISSUER, audience=AUDIENCE)
    began = time.monotonic()
    verifying.start()
    try:
        with pytest.raises(Unavailable):
            await owner(verifying, endpoint.provider.token())
        assert time.monotonic() - began < 2
        with pytest.raises(InvalidToken):
            await owner(verifying, "a.b.c")
        endpoint.wait.set()
        monkeypatch.setattr(key_set, "AT_MOST_EVERY", 0.0)
        monkeypatch.setattr(key_set, "WITHIN", 5.0)
        assert await owner(verifying, endpoint.provider.token()) == "alice"
    finally:
        await verifying.close()


async def test_keys_in_a_file_are_read_at_the_start_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, old, new = tmp_path / "keys.json", Provider(), Provider()
    path.write_text(json.dumps(old.key_set()))
    monkeypatch.setattr(key_set, "EVERY", 0.01)
    verifying = Tokens(key=None, key_set=str(path), issuer=ISSUER, audience=AUDIENCE)
    verifying.start()
    try:
        assert await owner(verifying, old.token()) == "alice"
        path.write_text(json.dumps(new.key_set()))
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await owner(verifying, new.token()) == "alice"
                    break
                except InvalidToken:
                    await asyncio.sleep(0.01)
        with pytest.raises(InvalidToken):
            await owner(verifying, old.token())
    finally:
        await verifying.close()
    for text in ("", "{}", '{"keys":[{"kty":"oct","k":"AAAA"}]}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="auth_jwks: there are no keys in"):
            KeySet(str(path)).start()
    with pytest.raises(ConfigError, match="No such file"):
        KeySet(str(tmp_path / "missing")).start()


def test_only_public_keys_of_the_known_kinds_are_taken() -> None:
    provider = Provider()
    right = provider.key_set()["keys"]
    weak = Provider()
    weak.keys = {"RS256": rsa.generate_private_key(65537, 1024)}
    wrong: list[Any] = [
        None, 5, [], {}, {"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "h"}, {"kty": ["RSA"]}, *weak.key_set()["keys"],
        right[0] | {"use": "enc", "kid": "1"}, right[0] | {"alg": "HS256", "kid": "2"}, right[0] | {"n": 5, "kid": "3"},
        right[0] | {"key_ops": ["sign"], "kid": "4"}, right[1] | {"crv": "P-384", "kid": "5"},
        right[1] | {"x": "AA", "kid": "6"}, right[2] | {"x": None, "kid": "7"},
    ]  # fmt: skip
    found = read_keys(json.dumps({"keys": [*wrong, *right]}).encode())
    assert found.keys() == {("RS256", "rs256"), ("ES256", "es256"), ("EdDSA", "eddsa")}
    for text in (json.dumps({"keys": wrong}), "[]", "{", '{"keys":5}', "[" * 5000):
        with pytest.raises(ValueError, match="it "):
            read_keys(text.encode())


async def test_verified_tokens_are_remembered_until_they_expire_and_never_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth.key"
    verifying, own, now = Tokens(key=read_or_make(path)), OwnKey(path), float(int(time.time()))
    token = own.token(exp=now + 1)
    grant = await verifying.read(token, now)
    assert await verifying.read(token, now + LEEWAY) is grant
    for _ in range(2):
        with pytest.raises(InvalidToken, match="expired"):
            await verifying.read(token, now + 1 + LEEWAY)
    monkeypatch.setattr(tokens, "MOST", 3)
    many = [own.token(f"user{number}") for number in range(10)]
    grants = [await verifying.read(each, now) for each in many]
    assert await verifying.read(many[-1], now) is grants[-1]
    assert await verifying.read(many[0], now) is not grants[0]
