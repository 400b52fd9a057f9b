"""Reads a Config from the command line, the environment and a TOML file, in this order of precedence.

`server/cli.py` is the caller. No other file of the server reads options from the environment. Whatever is wrong
is raised as one sentence that names the option, the variable, or the file and its key.
"""

import argparse
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from onward.server.config import OPTIONS, Config, ConfigError
from onward.server.option import GROUPS, Option
from onward.server.option_kinds import MODE, SWITCH, nearest, suggest

PREFIX = "ONWARD_"
CONFIG = "config"
MISSPELT = 0.7  # from 0 to 1: a variable this similar to one of ours is misspelt; others belong to other programs
_SERVICE_LINK = re.compile(r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_LINKED_PORT = re.compile(r"(tcp|udp|sctp)://")  # the value of NAME_PORT, which Kubernetes sets for a service NAME


class Reading(Struct, frozen=True, kw_only=True):
    """A configuration, and where it was read from."""

    config: Config
    sources: Mapping[str, str]  # for each field that was given: the option, the variable, or the file and its key


def option_name(name: str) -> str:
    """Return the option of a field."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """Return the environment variable of an option or a field."""
    return PREFIX + name.upper().replace("-", "_")


def add_options(parser: argparse.ArgumentParser, *, sweep: bool = False, only: Collection[str] = ()) -> None:
    """Add an option for each field to a parser, in groups; for `onward sweep` only those that matter to it.

    With names in `only`, those fields alone.
    """
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    groups[GROUPS[0]].add_argument("--config", metavar="PATH", help=f"a TOML file with options [{PREFIX}CONFIG]")
    for field in msgspec.structs.fields(Config):
        option = OPTIONS[field.name]
        if field.name in only or (not only and (option.sweep or not sweep)):
            _add_option(groups[option.group], field.name, option, field.default)


def _add_option(group: argparse._ArgumentGroup, name: str, option: Option, default: object) -> None:
    shown = option.kind.show(default)
    text = f"{option.about} [{variable_name(name)}{shown and f'; default: {shown}'}]".replace("%", "%%")
    if option.kind is SWITCH:
        group.add_argument(option_name(name), action=argparse.BooleanOptionalAction, default=None, help=text)
    else:
        action = "append" if option.kind.repeated else "store"
        group.add_argument(option_name(name), metavar=option.kind.metavar, action=action, help=text)


def foreign_variables(others: Collection[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that begin like ours but belong to other programs; raises ConfigError for a misspelt one.

    `others` are the additional options of the client's commands.
    """
    known = {variable_name(each).removeprefix(PREFIX) for each in (CONFIG, *OPTIONS, *others)}
    return [name for name in sorted(environ) if name.startswith(PREFIX) and _is_foreign(name, environ[name], known)]


def read(
    options: Mapping[str, object], environ: Mapping[str, str] = os.environ, *, ignored: Collection[str] = ()
) -> Reading:
    """Merge the options of the command line, the environment (without `ignored`) and the file; raises ConfigError."""
    given = {name: value for name, value in environ.items() if value and name not in ignored}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, path in (
        (option_name(CONFIG), options.get(CONFIG)),
        (variable_name(CONFIG), given.get(variable_name(CONFIG))),
    ):
        if path is not None:
            _read_file(str(path), source, values, sources)
            break
    for name in OPTIONS:
        if variable_name(name) in given:
            values[name], sources[name] = given[variable_name(name)], variable_name(name)
        if options.get(name) is not None:
            values[name], sources[name] = options[name], option_name(name)
    try:
        return Reading(config=Config(**values), sources=sources)
    except ConfigError as wrong:
        raise located(wrong, sources) from None


def located(wrong: ConfigError, sources: Mapping[str, str]) -> ConfigError:
    """Return the same error, but with the place that the value was read from instead of the field's name."""
    name = option_name(wrong.name) if wrong.name in OPTIONS else wrong.name
    return ConfigError(sources.get(wrong.name, name), wrong.why)


def _is_foreign(name: str, value: str, known: Collection[str]) -> bool:
    bare = name.removeprefix(PREFIX)
    if _SERVICE_LINK.fullmatch(bare) or (bare.endswith("PORT") and _LINKED_PORT.match(value)):
        return True
    if bare in known:
        return False
    if near := nearest(bare, known, MISSPELT):
        raise ConfigError(name, f"there is no such variable; did you mean {PREFIX}{near}?")
    return True


def _read_file(path: str, source: str, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Add the values of a TOML file; `max-size` and `max_size` are the same key."""
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(source, f"{path!r} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(path, "it is not a TOML file: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, f"it is not valid TOML: {error}") from None
    for key, value in document.items():
        name, place = key.replace("-", "_"), f"{path}: {key}"
        if name not in OPTIONS and isinstance(value, dict):
            raise ConfigError(path, f"unknown table [{key}]: options are written without a table")
        if name not in OPTIONS:
            raise ConfigError(path, f"unknown key {key}{suggest(name, OPTIONS)}")
        if name in values:
            raise ConfigError(place, f"it is there twice, also as {sources[name].rpartition(' ')[2]}")
        if OPTIONS[name].kind is MODE and not isinstance(value, str):
            raise ConfigError(place, f'{value!r} is not a file mode: write octal digits in quotes, such as "0660"')
        values[name], sources[name] = value, place
