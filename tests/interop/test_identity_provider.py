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


async def refusal(server: Server, token: str, folder: Path, size: int = 1000) -> int | None:
    """Upload a file, and return the status that refuses it."""
    with pytest.raises(Refused) as refused:
        await sent(server, token, folder, size)
    return refused.value.status


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_its_tokens_say_who_may_do_what(
    start: Start, http: aiohttp.ClientSession, tmp_path: Path, algorithm: str
) -> None:
    provider = identity_provider()
    with provider.running("first", algorithm):
        server = start(*trusting(provider))
        token = await provider.token(http, audience=AUDIENCE, scope=SCOPE)
        result = await sent(server, token, tmp_path)
        assert server.published(result.url) == bytes(1000)
        assert await refusal(server, token, tmp_path, MOST + 1) == 413
        other = await provider.token(http, audience="https://other.example", scope=SCOPE)
        assert await refusal(server, other, tmp_path) == 401
        reader = await provider.token(http, audience=AUDIENCE, scope="inspect watch")
        assert await refusal(server, reader, tmp_path) == 403


async def test_it_may_change_its_key_and_be_down(start: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    provider = identity_provider()
    with provider.running("first", "ES256"):
        server = start(*trusting(provider))
        old = await provider.token(http, audience=AUDIENCE, scope=SCOPE)
        await sent(server, old, tmp_path)
    await sent(server, old, tmp_path)
    with provider.running("second", "ES256"):
        new = await provider.token(http, audience=AUDIENCE, scope=SCOPE)
        await sent(server, new, tmp_path)
        assert await refusal(server, old, tmp_path) == 401
