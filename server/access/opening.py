"""Begins the verification of tokens that the configuration asks for; `server/lifespan.py` calls it at the start."""

from typing import TYPE_CHECKING

from onward.server.access.key_file import path_of, read_or_make
from onward.server.config import Config, ConfigError

if TYPE_CHECKING:
    from onward.server.access.tokens import Tokens

MISSING = "it needs a package that is not installed: pip install 'onward[auth]'"


def open_tokens(config: Config) -> "Tokens | None":
    """Read the keys, and return what verifies tokens; None if anybody may use the server. Raises ConfigError.

    Keys from a URL are read in the background.
    """
    if not config.auth:
        return None
    try:  # they are optional
        from onward.server.access.tokens import Tokens  # noqa: PLC0415

        if "jwks" in config.auth:
            import cryptography  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigError("auth", MISSING) from None
    key = read_or_make(path_of(config)) if "key" in config.auth else None
    tokens = Tokens(
        key=key,
        key_set=config.auth_jwks if "jwks" in config.auth else None,
        issuer=config.auth_issuer,
        audience=config.auth_audience,
    )
    tokens.start()
    return tokens
