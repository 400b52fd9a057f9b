"""Signatures after the Standard Webhooks specification (https://www.standardwebhooks.com), version v1.

Whoever receives a request can check with the shared secret that it comes from this server, that it was not changed,
and how old it is. Libraries for many languages do that; `tests/server/test_signature.py` uses the one of Python.
"""

import binascii
import hmac
from base64 import b64decode, b64encode

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret, as the specification says


def read_secret(text: str) -> bytes:
    """Read a secret: `whsec_` and Base64 of 24 to 64 bytes. Raises ValueError, which does not show the secret."""
    if not text.startswith(PREFIX):
        raise ValueError(f"the secret does not begin with {PREFIX}")
    try:
        secret = b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"the secret has something else than Base64 behind {PREFIX}") from None
    if not SHORTEST <= len(secret) <= LONGEST:
        raise ValueError(f"the secret has {len(secret)} bytes, and must have {SHORTEST} to {LONGEST}")
    return secret


class Signer:
    """Signs requests with one secret. The part of the work that is the same for all requests is done once."""

    def __init__(self, secret: bytes) -> None:
        self._begun = hmac.new(secret, digestmod="sha256")

    def sign(self, id: str, now: float, body: bytes) -> dict[str, str]:
        """Return the headers of a signed request; `id` is the same for each repetition, `now` the time of this one."""
        timestamp = str(int(now))
        code = self._begun.copy()
        code.update(f"{id}.{timestamp}.".encode() + body)
        return {
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{b64encode(code.digest()).decode()}",
        }
