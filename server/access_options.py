"""The options of access control. `Config` (config.py) has them beside all others."""

from collections.abc import Sequence
from typing import Annotated

from onward.server.event_options import EventOptions
from onward.server.option import ACCESS, Option
from onward.server.option_kinds import PATH, URL, Kind, split_words, suggest

AUTHS = ("none", "key", "jwks")


def _read_auth(value: object) -> tuple[str, ...]:
    """Read which tokens are accepted; no words are the same as `none`."""
    words = tuple(dict.fromkeys(word.lower() for word in split_words(value)))
    if wrong := next((word for word in words if word not in AUTHS), None):
        raise ValueError(f"{wrong!r} is not one of {', '.join(AUTHS)}{suggest(wrong, AUTHS)}")
    if "none" in words and len(words) > 1:
        raise ValueError("'none' can't be combined with others")
    return tuple(word for word in words if word != "none")


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is not a text")
    return value


def _read_key_set(value: object) -> str:
    path = str(PATH.read(value))
    return str(URL.read(path)) if path.lower().startswith(("http:", "https:")) else path


AUTH = Kind("none|key|jwks|key,jwks", _read_auth, lambda words: ",".join(words) or "none")
TEXT = Kind("TEXT", _read_text)
KEY_SET = Kind("URL", _read_key_set)


class AccessOptions(EventOptions, frozen=True, kw_only=True):
    """Who may use the server."""

    auth: Annotated[
        Sequence[str],
        Option(
            ACCESS,
            AUTH,
            "which tokens a request needs: none (who knows the URL of an upload may use it), those signed with the "
            "server's own key, those of an identity provider (jwks), or either of them",
        ),
    ] = ()
    auth_key_file: Annotated[
        str,
        Option(ACCESS, PATH, "the server's own key; auth.key in the data folder if not given; made if it is missing"),
    ] = ""
    auth_jwks: Annotated[
        str, Option(ACCESS, KEY_SET, "where the public keys of the identity provider are: a URL, or a file")
    ] = ""
    auth_issuer: Annotated[str, Option(ACCESS, TEXT, "the identity provider, as its tokens name it in iss")] = ""
    auth_audience: Annotated[str, Option(ACCESS, TEXT, "this server, as tokens name it in aud")] = ""

    def wrong_access(self) -> tuple[str, str] | None:
        """Return a field that does not fit the others, and a sentence that says why; None if all fit together."""
        for name in ("auth_jwks", "auth_issuer", "auth_audience"):
            if "jwks" in self.auth and not getattr(self, name):
                return "auth", f"'jwks' needs --{name.replace('_', '-')}"
        if self.auth_jwks and "jwks" not in self.auth:
            return "auth_jwks", "it is not used without --auth=jwks or --auth=key,jwks"
        if self.auth_key_file and self.auth == ("jwks",):
            return "auth_key_file", "it is not used with --auth=jwks; --auth=key,jwks accepts tokens of both"
        return None
