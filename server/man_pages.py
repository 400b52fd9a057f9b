"""`onward man`: the manual pages `onward(1)`, `onward-serve(1)` and so on, made of the parsers as `--help` is."""

from collections.abc import Mapping
from itertools import groupby

from onward.server.command_parsers import ABOUT, EXAMPLES
from onward.server.option_parser import Argument, Parser

CLIENT = ("upload", "watch")
STATUS = {
    True: "0 if all went well, 1 if something failed, 2 on invalid arguments, 130 after Ctrl-C, 143 after SIGTERM.",
    False: "0 if all went well, 1 if the command failed, 2 on wrong arguments or a wrong configuration.",
}


def man_pages(version: str, commands: Mapping[str, Parser], about: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each page by the name of its file; `about` says what each command does."""
    pages = {"onward.1": _overview(version, about)}
    for name, parser in commands.items():
        pages[f"onward-{name}.1"] = _page(version, name, parser, about[name])
    return pages


def _quoted(text: str) -> str:
    """Return a text as roff shows it: nothing in it is a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\&...").replace("'", "\\(aq")
    return "\\&" + text if text.startswith(".") else text


def _head(version: str, name: str, about: str) -> list[str]:
    title = name.upper()
    return [
        f'.TH "{_quoted(title)}" "1" "" "Onward {version}" "Onward"',
        ".SH NAME",
        f"{_quoted(name)} \\- {_quoted(about)}",
    ]


def _overview(version: str, about: Mapping[str, str]) -> str:
    lines = _head(version, "onward", "resumable uploads, server and client")
    lines += [".SH SYNOPSIS", ".B onward", "COMMAND [options]", ".SH DESCRIPTION", _quoted(ABOUT), ".SH COMMANDS"]
    for name, text in about.items():
        lines += [".TP", f".BR \\%onward\\-{name} (1)", _quoted(text)]
    lines += [".SH EXIT STATUS", _quoted(STATUS[False])]
    return "\n".join([*lines, ""])


def _page(version: str, name: str, parser: Parser, about: str) -> str:
    lines = _head(version, f"onward-{name}", about)
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    lines += [
        ".SH SYNOPSIS",
        _quoted(usage),
        ".SH DESCRIPTION",
        _quoted(f"{about[0].upper()}{about[1:]}."),
        ".SH OPTIONS",
    ]
    for group, arguments in groupby(parser.arguments(), lambda one: one.group):
        if group not in ("options", "positional arguments"):
            lines.append(f".SS {_quoted(group)}")
        for one in arguments:
            lines += [".TP", _named(one), _quoted(one.about)]
    lines += [".SH EXIT STATUS", _quoted(STATUS[name in CLIENT]), ".SH EXAMPLES"]
    for example in EXAMPLES[name]:
        lines += [".PP", ".nf", _quoted(example), ".fi"]
    lines += [".SH SEE ALSO", ".BR onward (1)"]
    return "\n".join([*lines, ""])


def _named(one: Argument) -> str:
    value = f" \\fI{_quoted(one.metavar)}\\fR" if one.takes_value else ""
    names = ", ".join(f"\\fB{_quoted(option)}\\fR" for option in one.options)
    return f"{names}{value}" if names else f"\\fI{_quoted(one.metavar)}\\fR"
