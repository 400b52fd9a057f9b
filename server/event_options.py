"""The options of events, and of the questions to the application. `Config` (config.py) has them beside all others."""

from collections.abc import Sequence
from typing import Annotated

from onward.protocol.events import EventType
from onward.server.check_options import CheckOptions
from onward.server.option import EVENTS, Option
from onward.server.option_kinds import ACTS, EVENT_TYPES, HEADERS, PATH, POSITIVE_TIME, SECRET, URL, URLS


class EventOptions(CheckOptions, frozen=True, kw_only=True):
    """What the application hears, and what it is asked."""

    webhook: Annotated[
        Sequence[str],
        Option(EVENTS, URLS, "send signed events about uploads to this URL; may be repeated", sweep=True),
    ] = ()
    webhook_secret: Annotated[
        str,
        Option(EVENTS, SECRET, "the secret that requests to the application are signed with: whsec_BASE64", sweep=True),
    ] = ""
    webhook_secret_file: Annotated[
        str, Option(EVENTS, PATH, "a file that has this secret, so that it is in no list of processes", sweep=True)
    ] = ""
    webhook_events: Annotated[
        Sequence[str], Option(EVENTS, EVENT_TYPES, "send only these events; may be repeated", sweep=True)
    ] = tuple(EventType)
    webhook_retry_for: Annotated[
        float, Option(EVENTS, POSITIVE_TIME, "how long an event that is not taken is tried again")
    ] = 259200.0
    ask: Annotated[
        str, Option(EVENTS, URL, "ask the application at this URL before uploads are created or published", sweep=True)
    ] = ""
    ask_acts: Annotated[
        Sequence[str],
        Option(EVENTS, ACTS, "what it is asked about: create, publish; may be repeated", sweep=True),
    ] = ("create",)
    ask_headers: Annotated[
        Sequence[str],
        Option(EVENTS, HEADERS, "header of a creation that is passed on to the application; may be repeated"),
    ] = ()
    ask_timeout: Annotated[
        float, Option(EVENTS, POSITIVE_TIME, "how long the application may take to reply", sweep=True)
    ] = 10.0

    def wrong_events(self) -> tuple[str, str] | None:
        """Return a field that does not fit the others, and a sentence that says why; None if all fit together."""
        for name, of in (("webhook_events", self.webhook), ("ask_acts", self.ask)):
            if of and not getattr(self, name):
                return name, "it is empty, so nothing would ever be sent; leave it out, or name something"
        if self.webhook_secret and self.webhook_secret_file:
            return "webhook_secret_file", "there is --webhook-secret as well; give one of them"
        if not (self.webhook_secret or self.webhook_secret_file):
            for name in ("webhook", "ask"):
                if getattr(self, name):
                    return name, "it needs --webhook-secret or --webhook-secret-file, to sign what is sent"
        return None
