"""Tokens become grants: the signature is verified with the key that fits, and the claims are read.

The key decides which algorithm is right, never the token: the server's own key verifies HS256 only, a public key of
the identity provider only the algorithm of its kind. Verified tokens are remembered until they expire,
so that a request with one costs little more than without. Nothing is remembered of bad ones.
"""

from typing import Any

import jwt

from onward.protocol.claims import LEEWAY, read_claims
from onward.protocol.errors import InvalidToken
from onward.protocol.grants import Grant
from onward.protocol.tokens import read_header, read_object
from onward.server.access.key_set import ALGORITHMS, KeySet

OWN = "HS256"
MOST = 4096  # tokens that are remembered


class Tokens:
    """Verifies tokens: with the server's own `key`, and with those of an identity provider.

    `key_set` is where these are, a path or a URL. When they change, no token is remembered any more.
    """

    def __init__(self, *, key: bytes | None, key_set: str | None = None, issuer: str = "", audience: str = "") -> None:
        self._known: dict[str, Grant] = {}
        self._key, self._key_set = key, None if key_set is None else KeySet(key_set, self._known.clear)
        self._issuer, self._audience = issuer or None, audience or None
        self._jws = jwt.PyJWS(algorithms=[OWN, *ALGORITHMS] if key_set is not None else [OWN])

    async def read(self, token: str, now: float) -> Grant:
        """Return what a token allows at `now`, in seconds since the epoch. Raises InvalidToken and Unavailable."""
        grant = self._known.get(token)
        if grant is not None:
            if now < (grant.expires or 0.0) + LEEWAY:
                return grant
            del self._known[token]
        grant = await self._verify(token, now)
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[token] = grant
        return grant

    def start(self) -> None:
        """Begin to read the keys of the identity provider, if there is one. Raises ConfigError."""
        if self._key_set is not None:
            self._key_set.start()

    async def close(self) -> None:
        """End what `start` began."""
        if self._key_set is not None:
            await self._key_set.close()

    async def _verify(self, token: str, now: float) -> Grant:
        algorithm, key_id = read_header(token)
        key: Any = None
        if algorithm == OWN:
            key = self._key
        elif self._key_set is not None and algorithm in ALGORITHMS:
            key = await self._key_set.find(algorithm, key_id)
        if key is None:
            raise InvalidToken("The token is signed in a way that is not accepted.")
        try:
            payload = self._jws.decode_complete(token, key, algorithms=[algorithm])["payload"]
        except (jwt.PyJWTError, ValueError, TypeError):
            raise InvalidToken("The signature of the token is wrong.") from None
        own = algorithm == OWN
        return read_claims(read_object(payload), now=now, issuer=self._issuer, audience=self._audience, own=own)
