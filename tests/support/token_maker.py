"""Makes tokens for tests, right and wrong ones: with the server's own key, and as an identity provider does."""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://idp.example", "onward"
ADMIN = {"sub": "root", "scope": "admin"}


def encode(part: bytes) -> str:
    """Give base64url without padding."""
    return urlsafe_b64encode(part).decode().rstrip("=")


def signed(header: str | dict[str, Any], payload: str | dict[str, Any], key: bytes) -> str:
    """Sign any header and any payload with HMAC-SHA256, without looking at them."""
    parts = (part if isinstance(part, str) else json.dumps(part) for part in (header, payload))
    text = ".".join(encode(part.encode("utf-8", "surrogatepass")) for part in parts)
    return f"{text}.{encode(hmac.digest(key, text.encode(), sha256))}"


class Provider:
    """An identity provider: its private keys, and the set of its public ones."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def key_set(self, **more: dict[str, Any]) -> dict[str, Any]:
        """Give the set; the id of a key is its algorithm in lower case."""
        keys = []
        for name, key in self.keys.items():
            algorithm = jwt.PyJWS().get_algorithm_by_name(name)
            told = json.loads(algorithm.to_jwk(key.public_key()))
            keys.append(told | {"kid": name.lower(), "use": "sig", "alg": name} | more.get(name, {}))
        return {"keys": keys}

    def token(self, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Give a token of the provider that is right but for what is told."""
        told = {"sub": "alice", "exp": int(time.time()) + 600, "iss": ISSUER, "aud": AUDIENCE} | claims
        told = {name: value for name, value in told.items() if value is not None}
        named = {"kid": algorithm.lower()} | (headers or {})
        named = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(told, self.keys[algorithm], algorithm, named)

    def public_pem(self, algorithm: str = "RS256") -> bytes:
        """Give a public key as text, as everybody may know it."""
        public = self.keys[algorithm].public_key()
        return bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


class OwnKey:
    """The server's own key, from its file."""

    def __init__(self, path: Path) -> None:
        self.key = urlsafe_b64decode(path.read_text().strip())

    def token(self, sub: str | None = "alice", scope: str | None = None, **claims: Any) -> str:
        """Give a token that is right but for what is told; a claim that is None is left out."""
        told = {"sub": sub, "scope": scope, "exp": int(time.time()) + 600} | claims
        return signed({"alg": "HS256"}, {name: value for name, value in told.items() if value is not None}, self.key)


def bearer(token: str) -> dict[str, str | None]:
    """Give the header with a token."""
    return {"Authorization": f"Bearer {token}"}
