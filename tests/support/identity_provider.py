"""A real provider of OpenID Connect on this machine: node-oidc-provider, in Node."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from nodejs import INTEROP, require
from ports import free_port

SCRIPT = INTEROP / "servers" / "identity_provider.js"
SECRET = "secret"  # of each client


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Where it is; it may be restarted there with other keys."""

    port: int

    @property
    def issuer(self) -> str:
        """Give its name in tokens, which is its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def jwks(self) -> str:
        """Give the URL of its public keys."""
        return f"{self.issuer}/jwks"

    @contextmanager
    def running(self, key_ids: str) -> Iterator[None]:
        """Run it with new keys, whose ids begin alike; it has stopped at the end."""
        words = ["node", str(SCRIPT), str(self.port), key_ids]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline().strip() == self.issuer
                yield
            finally:
                process.kill()

    async def token(self, http: aiohttp.ClientSession, *, audience: str, scope: str, algorithm: str = "ES256") -> str:
        """Let it issue an access token for the credentials of the client of an algorithm."""
        fields = {"grant_type": "client_credentials", "resource": audience, "scope": scope}
        login = {"Authorization": f"Basic {base64.b64encode(f'{algorithm}:{SECRET}'.encode()).decode()}"}
        async with http.post(f"{self.issuer}/token", data=fields, headers=login) as answer:
            assert answer.status == 200, await answer.text()
            token: str = (await answer.json())["access_token"]
            return token


def identity_provider() -> IdentityProvider:
    """Give one that is not running yet; skips, loudly, where it can't be had."""
    require("oidc-provider")
    return IdentityProvider(free_port())
