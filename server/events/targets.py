"""Who is told about uploads, as the configuration and the application say: subscriptions, the secret, and the targets.

`server/lifespan.py` calls this when it starts, before anything is saved.
"""

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from onward.protocol.events import EventType, Subscriptions
from onward.server.config import Config, ConfigError
from onward.server.events.signature import read_secret
from onward.server.events.webhook import FUNCTION, Function, OnEvent, Target, Webhook


def subscriptions_of(config: Config, on_event: OnEvent | None = None) -> Subscriptions:
    """Return which events are saved for whom: the webhooks get those of `--webhook-events`, the function all."""
    wanted = frozenset(EventType(name) for name in config.webhook_events)
    targets = dict.fromkeys(config.webhook, wanted)
    if on_event is not None:
        targets[FUNCTION] = frozenset(EventType)
    return Subscriptions(targets)


def signing_secret(config: Config) -> bytes:
    """Return the secret that requests to the application are signed with; raises ConfigError for a wrong file."""
    if not config.webhook_secret_file:
        return read_secret(config.webhook_secret)
    try:
        return read_secret(Path(config.webhook_secret_file).read_text("ascii").strip())
    except OSError as error:
        raise ConfigError("webhook_secret_file", f"it can't be read: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError is one, and would show a part of the file
        why = "it is not ASCII" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError("webhook_secret_file", why) from None


def targets_of(
    config: Config, on_event: OnEvent | None, session: aiohttp.ClientSession, secret: bytes
) -> Sequence[Target]:
    """Return what events are delivered to."""
    functions = [] if on_event is None else [Function(on_event)]
    return [*(Webhook(url, secret, session) for url in dict.fromkeys(config.webhook)), *functions]
