"""What an option is, and the groups of options in `--help`."""

from msgspec import Struct

from onward.server.option_kinds import Kind

RUNNING, LISTENING, STORAGE, FINISHED, LIMITS, ACCESS, CHECKS, TIMES, PROXIES, WATCHING, EVENTS = GROUPS = (
    "Operation", "Listening", "Storage", "Finished files", "Limits", "Access", "Checks", "Time-outs",
    "Proxies and CORS", "Watching", "Events",
)  # fmt: skip


class Option(Struct, frozen=True):
    """What a field of Config is as an option."""

    group: str  # in --help
    kind: Kind
    about: str  # what it does, for --help
    sweep: bool = False  # whether `onward sweep` has it too
