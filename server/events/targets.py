"""Who gets which events: the subscriptions, the targets and the signer, made from the configuration.

`server/lifespan.py` calls this when it starts, before anything is saved.
"""

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from onward.protocol.events import EventType, Subscriptions
from onward.server.config import Config, ConfigError
from onward.server.events.ask import Ask
from onward.server.events.signature import Signer, read_secret
from onward.server.events.webhook import FUNCTION, Function, OnEvent, Target, Webhook


def subscriptions_of(config: Config, on_event: OnEvent | None = None) -> Subscriptions:
    """Return which events each target gets: webhooks those of `--webhook-events`, the function all."""
    wanted = frozenset(EventType(name) for name in config.webhook_events)
    targets = dict.fromkeys(config.webhook, wanted)
    if on_event is not None:
        targets[FUNCTION] = frozenset(EventType)
    return Subscriptions(targets)


def signer_of(config: Config) -> Signer | None:
    """Return what signs requests to the application, if there is a secret; raises ConfigError for a wrong file."""
    if not config.webhook_secret_file:
        return Signer(read_secret(config.webhook_secret)) if config.webhook_secret else None
    try:
        return Signer(read_secret(Path(config.webhook_secret_file).read_text("ascii").strip()))
    except OSError as error:
        raise ConfigError("webhook_secret_file", f"it can't be read: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError is one, and would show a part of the file
        why = "it is not ASCII" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError("webhook_secret_file", why) from None


def ask_of(config: Config) -> Ask | None:
    """Return the application that is asked, if there is one; raises ConfigError for a wrong file of the secret."""
    signer = signer_of(config)
    if not config.ask or signer is None:
        return None
    return Ask(config.ask, signer, within=config.ask_timeout, headers=config.ask_headers)


def targets_of(
    config: Config, on_event: OnEvent | None, session: aiohttp.ClientSession, signer: Signer | None
) -> Sequence[Target]:
    """Return what events are delivered to. There is a signer if there are webhooks; `Config` has checked that."""
    webhooks = [Webhook(url, signer, session) for url in dict.fromkeys(config.webhook)] if signer else []
    return [*webhooks, *([] if on_event is None else [Function(on_event)])]
