"""Tokens of a real identity provider: the server takes its keys from its URL, and what it signs opens the server."""

from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from identity_provider import IdentityProvider, identity_provider
from server_process import Server, Start

from onward import Options, Refused, Uploaded, upload

AUDIENCE = "https://uploads.example"
MOST = 1_000_000  # the claim of its tokens: maxSize
ALGORITHMS = ("RS256", "ES256", "EdDSA")
SCOPE = "create append inspect"


def trusting(provider: IdentityProvider) -> Sequence[str]:
    """Give the options of a server that accepts the provider's tokens."""
    return (
        "--auth=jwks", f"--auth-jwks={provider.jwks}", f"--auth-issuer={provider.issuer}", f"--auth-audience={AUDIENCE}"
    )  # fmt: skip


async def sent(server: Server, token: str, folder: Path, size: int = 1000) -> Uploaded:
    """Upload a file of zeros with a token."""
    file = folder / f"{size}.bin"
    file.write_bytes(bytes(size))
    return await upload(file, server.url, options=Options(token=token, state=folder / "state", retry_for=5))


async def status(http: aiohttp.ClientSession, url: str, token: str) -> int:
    """Ask for an upload with a token."""
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    async with http.head(url, headers=headers) as answer:
        return answer.status


async def refusal(server: Server, token: str, folder: Path, size: int = 1000) -> int | None:
    """Upload a file, and return the status that refuses it."""
    with pytest.raises(Refused) as refused:
        await sent(server, token, folder, size)
    return refused.value.status


async def test_its_tokens_say_who_may_do_what(start: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    provider = identity_provider()
    with provider.running("first"):
        server = start(*trusting(provider))
        asked = [provider.token(http, audience=AUDIENCE, scope=SCOPE, algorithm=name) for name in ALGORITHMS]
        tokens = [await token for token in asked]
        urls = [(await sent(server, token, tmp_path)).url for token in tokens]
        seen = [[await status(http, url, token) for url in urls] for token in tokens]
        assert seen == [[200, 404, 404], [404, 200, 404], [404, 404, 200]], "each client owns what it has uploaded"
        token = tokens[0]
        assert await refusal(server, token, tmp_path, MOST + 1) == 413
        other = await provider.token(http, audience="https://other.example", scope=SCOPE)
        assert await refusal(server, other, tmp_path) == 401
        reader = await provider.token(http, audience=AUDIENCE, scope="inspect watch")
        assert await refusal(server, reader, tmp_path) == 403
        await sent(server, token, tmp_path)
    await sent(server, token, tmp_path)  # the provider is down
    with provider.running("second"):
        new = await provider.token(http, audience=AUDIENCE, scope=SCOPE)
        await sent(server, new, tmp_path)
        assert await refusal(server, token, tmp_path) == 401
