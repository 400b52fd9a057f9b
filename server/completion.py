"""`onward completion`: scripts for bash, zsh and fish, made of the parsers; so they know every option of every command.

A value is completed as one of several words where the option names them, and otherwise as a file. No library is used:
the scripts are short, and the words stand in what --help calls the value (`full|group|process|none`).
"""

import re
from collections.abc import Mapping

from onward.server.option_parser import Argument, Parser

_CHOICE = re.compile(r"[a-z0-9,-]+(?:\|[a-z0-9,-]+)+", re.ASCII)
_ENVIRONMENT = re.compile(r" \[[^\[\]]*\]$")


def completion(shell: str, commands: Mapping[str, Parser], about: Mapping[str, str]) -> str:
    """Return the script for a shell; `about` says what each command does."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands, about)


def _values(argument: Argument) -> tuple[str, ...]:
    """Return the words that an option takes, if only some are right."""
    if argument.choices:
        return argument.choices
    return tuple(argument.metavar.split("|")) if _CHOICE.fullmatch(argument.metavar) else ()


def _bash(commands: Mapping[str, Parser], _: Mapping[str, str]) -> str:
    cases, valued = list[str](), list[str]()
    for name, parser in commands.items():
        arguments = parser.arguments()
        words = [word for one in arguments for word in one.options] + [
            word for one in arguments if not one.options for word in one.choices
        ]
        cases.append(f"    {name}) words='{' '.join(words)}' ;;")
        for one in arguments:
            if one.options and one.takes_value and (values := _values(one)):
                valued += [f"    {name}:{option}) values='{' '.join(values)}' ;;" for option in one.options]
    free = " ".join(
        dict.fromkeys(
            option
            for parser in commands.values()
            for one in parser.arguments()
            if one.takes_value
            for option in one.options
        )
    )
    return f"""# bash completion for onward
_onward() {{
  local cur prev command='' words='' values='' word
  cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  [[ $cur == = ]] && cur=''
  [[ $prev == = ]] && prev=${{COMP_WORDS[COMP_CWORD-2]}}
  COMPREPLY=()
  if (( COMP_CWORD > 1 )); then command=${{COMP_WORDS[1]}}; fi
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '{" ".join(commands)} --help --version' -- "$cur"))
    return
  fi
  case $command in
{chr(10).join(cases)}
  esac
  case $command:$prev in
{chr(10).join(valued)}
  esac
  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
    return
  fi
  for word in {free}; do
    if [[ $prev == "$word" ]]; then compopt -o default 2>/dev/null; return; fi
  done
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $cur != -* && ${{#COMPREPLY[@]}} -eq 0 ]]; then compopt -o default 2>/dev/null; fi
  if [[ $cur != -* && $command != completion ]]; then COMPREPLY=(); compopt -o default 2>/dev/null; fi
}}
complete -F _onward onward
"""


def _short(text: str) -> str:
    """Return what an option does, without the name of its variable."""
    return _ENVIRONMENT.sub("", text)


def _zsh(commands: Mapping[str, Parser], about: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")

    lines = ["#compdef onward", "_onward() {", "  local -a commands", "  commands=("]
    lines += [f"    '{name}:{quoted(about[name])}'" for name in commands]
    lines += ["  )", "  if (( CURRENT == 2 )); then _describe command commands; return; fi", "  case $words[2] in"]
    for name, parser in commands.items():
        specs = list[str]()
        for one in parser.arguments():
            values = _values(one)
            action = f"({' '.join(values)})" if values else "_files"
            if not one.options:
                specs.append(f"'*:{quoted(one.metavar)}:{action}'")
            for option in one.options:
                value = f":{quoted(one.metavar)}:{action}" if one.takes_value else ""
                specs.append(f"'*{option}[{quoted(_short(one.about))}]{value}'")
        lines += [f"    {name})", "      shift words; (( CURRENT-- ))", f"      _arguments {' '.join(specs)} ;;"]
    return "\n".join(
        [
            *lines,
            "  esac",
            "}",
            'if [[ $funcstack[1] == _onward ]]; then _onward "$@"; else compdef _onward onward; fi',
            "",
        ]
    )


def _fish(commands: Mapping[str, Parser], about: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = ["# fish completion for onward"]
    for name, parser in commands.items():
        lines.append(f"complete -c onward -f -n __fish_use_subcommand -a {name} -d {quoted(about[name])}")
        for one in parser.arguments():
            values, given = _values(one), f"complete -c onward -n '__fish_seen_subcommand_from {name}'"
            if not one.options and values:
                lines.append(f"{given} -f -a {quoted(' '.join(values))}")
            for option in one.options:
                named = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                value = " -r" if one.takes_value else ""
                value += f" -f -a {quoted(' '.join(values))}" if values else ""
                lines.append(f"{given} {named} -d {quoted(_short(one.about))}{value}")
    return "\n".join([*lines, ""])
