"""The claims of a token (RFC 7519, 4) as a Grant, and a Grant as claims. Signatures are verified elsewhere.

`server/access/` calls `read_claims` with the payload of a token whose signature is right; `onward grant` and `mint`
write tokens by `build_claims`.
"""

import re
from collections.abc import Mapping
from typing import Any

from onward.protocol.errors import InvalidToken, Refusal
from onward.protocol.grants import MOST_OWNER, USUAL, Grant, Scope
from onward.protocol.headers import MAX_INTEGER, build_metadata, parse_metadata
from onward.protocol.model import ID_PATTERN, UploadId

LEEWAY = 60.0  # seconds by which the clock of who made a token may differ
LAST_SECOND = 253402300799  # of the year 9999
MOST_TOKEN_ID = 200  # bytes
MOST_TYPES = 100
OWN = "onward"  # the claim with the members below
_SIZES = {"maxSize": "max_size", "maxUploads": "max_uploads", "quota": "quota"}
_MEMBERS = {*_SIZES, "types", "metadata", "upload"}
_TYPE = re.compile(r"\*/\*|[a-z]+/(?:\*|[a-z0-9][a-z0-9.+-]*)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ID = re.compile(ID_PATTERN, re.ASCII)


def read_claims(
    claims: Mapping[str, Any], *, now: float, issuer: str | None = None, audience: str | None = None, own: bool = True
) -> Grant:
    """Read the claims of a token that came at `now`, in seconds since the epoch, as what it allows.

    `own` tokens are signed with the server's own key: they may lack `iss` and `aud`, and any `iss` is right if there is
    no `issuer`; those of an identity provider must have both. Raises InvalidToken, with a sentence that names the claim
    and shows nothing of the token.
    """
    expires = _read_time(claims, "exp")
    if expires is None:
        raise InvalidToken("The token has no exp.")
    if now >= expires + LEEWAY:
        raise InvalidToken("The token has expired.")
    begins = _read_time(claims, "nbf")
    if begins is not None and now < begins - LEEWAY:
        raise InvalidToken("The token is not valid yet.")
    _check_issuer(claims, issuer, own=own)
    _check_audience(claims, audience, own=own)
    limits = _read_own(claims)
    owner = _read_text(claims, "sub", MOST_OWNER)
    if owner is None and limits.get("upload") is None:
        raise InvalidToken("The token has neither sub nor upload.")
    token_id = _read_text(claims, "jti", MOST_TOKEN_ID)
    if token_id is None and "max_uploads" in limits:
        raise InvalidToken("The token has maxUploads, but no jti.")
    if token_id is not None and not own:  # two issuers may give the same name
        token_id = f"{issuer} {token_id}"
    return Grant(owner=owner, scopes=_read_scopes(claims), token_id=token_id, expires=expires, **limits)


def leaves_at(grant: Grant, now: float) -> float | None:
    """Return when a watcher that comes at `now` has to leave, in seconds since the epoch; None for never.

    That is when its grant expires. One that comes after that, but within the leeway, may stay until the leeway ends.
    """
    if grant.expires is None or now < grant.expires:
        return grant.expires
    return grant.expires + LEEWAY


def build_claims(grant: Grant) -> dict[str, Any]:
    """Write a grant as the claims of a token. Raises ValueError for a grant that no token can carry.

    A grant without scopes becomes a token without them, which allows all but `list` and `admin`.
    """
    if grant.metadata is not None or grant.expire_after is not None:
        raise ValueError("a token can only add metadata, and can't say when uploads expire")
    claims: dict[str, Any] = {
        "sub": grant.owner,
        "scope": None if grant.scopes is None else " ".join(scope for scope in Scope if scope in grant.scopes),
        "exp": grant.expires,
        "jti": grant.token_id,
    }
    own: dict[str, Any] = {
        "maxSize": grant.max_size,
        "maxUploads": grant.max_uploads,
        "quota": grant.quota,
        "types": None if grant.types is None else list(grant.types),
        "upload": grant.upload,
    }
    if grant.added_metadata:
        own["metadata"] = {key: value.decode() for key, value in grant.added_metadata.items()}
    claims[OWN] = {name: value for name, value in own.items() if value is not None} or None
    claims = {name: value for name, value in claims.items() if value is not None}
    try:
        read_claims(claims, now=0.0)
    except InvalidToken as wrong:
        raise ValueError(str(wrong)) from None
    return claims


def _read_time(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    seconds = claims[name]
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= LAST_SECOND:
        raise InvalidToken(f"{name} of the token is not a time in seconds.")
    return float(seconds)


def _read_text(claims: Mapping[str, Any], name: str, most: int) -> str | None:
    if name not in claims:
        return None
    text = claims[name]
    if not isinstance(text, str) or not 0 < len(text.encode("utf-8", "surrogatepass")) <= most or _CONTROL.search(text):
        raise InvalidToken(f"{name} of the token is not a text of 1 to {most} bytes.")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidToken(f"{name} of the token is not Unicode.")
    return text


def _check_issuer(claims: Mapping[str, Any], issuer: str | None, *, own: bool) -> None:
    if own and ("iss" not in claims or (issuer is None and isinstance(claims["iss"], str))):
        return
    if issuer is None or claims.get("iss") != issuer:
        raise InvalidToken("The token is of another issuer.")


def _check_audience(claims: Mapping[str, Any], audience: str | None, *, own: bool) -> None:
    """Check that a token is meant for this server (RFC 7519, 4.1.3)."""
    if own and "aud" not in claims:
        return
    told = claims.get("aud")
    if audience is None or audience not in (told if isinstance(told, list) else [told]):
        raise InvalidToken("The token is for another audience.")


def _read_scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Read the scopes. Unknown words are left out: an identity provider writes some of its own, such as `openid`."""
    if "scope" not in claims:
        return USUAL
    words = claims["scope"]
    if not isinstance(words, str):
        raise InvalidToken("scope of the token is not a text.")
    return frozenset(scope for scope in Scope if scope in words.split(" "))


def _read_own(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Read the members of the claim `onward`, as fields of a Grant.

    Unknown members are refused: a limit that is misspelt, or that only a later version knows, must not be ignored.
    """
    told = claims.get(OWN, {})
    if not isinstance(told, dict) or not told.keys() <= _MEMBERS:
        raise InvalidToken(f"{OWN} of the token is not an object of {', '.join(sorted(_MEMBERS))}.")
    own: dict[str, Any] = {}
    for name, field in _SIZES.items():
        if name in told:
            number = told[name]
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_INTEGER:
                raise InvalidToken(f"{name} of the token is not a whole number.")
            own[field] = number
    if "types" in told:
        own["types"] = _read_types(told["types"])
    if "metadata" in told:
        own["added_metadata"] = _read_metadata(told["metadata"])
    if "upload" in told:
        if not isinstance(told["upload"], str) or not _ID.fullmatch(told["upload"]):
            raise InvalidToken("upload of the token is not the id of an upload.")
        own["upload"] = UploadId(told["upload"])
    return own


def _read_types(told: Any) -> tuple[str, ...]:
    is_list = isinstance(told, list) and 0 < len(told) <= MOST_TYPES
    if not is_list or not all(isinstance(word, str) and _TYPE.fullmatch(word) for word in told):
        raise InvalidToken("types of the token is not a list of media types such as image/png or image/*.")
    return tuple(told)


def _read_metadata(told: object) -> dict[str, bytes]:
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise InvalidToken("metadata of the token is not an object of texts.")
    try:
        pairs = {key: value.encode() for key, value in told.items()}
        parse_metadata(build_metadata(pairs))
    except (UnicodeError, Refusal):
        raise InvalidToken("metadata of the token can't be metadata of an upload.") from None
    return pairs
