"""The parsers of all commands, with the examples in their `--help`; completion and man pages are made of them."""

import argparse

from onward.server.access import grant_command as grant
from onward.server.config_reader import add_options
from onward.server.control import command_line as operator
from onward.server.doctor import command as doctor
from onward.server.option_parser import Parser

SHELLS = ("bash", "zsh", "fish")
ABOUT = "Resumable uploads (tus 1.0.0 and the IETF draft): server and client."
COMMANDS = {
    "serve": "run the server",
    grant.NAME: grant.DESCRIPTION,
    **operator.DESCRIPTIONS,
    doctor.NAME: doctor.DESCRIPTION,
    "completion": "print what makes a shell complete this command",
    "man": "write the manual pages of all commands into a folder",
}  # of the server, with their descriptions
CLIENT_COMMANDS = {
    "upload": "upload files to a server of tus or of the IETF draft, resuming interrupted uploads",
    "watch": "follow uploads until they end",
}
EXAMPLES = {
    "serve": (
        "onward serve --data /srv/uploads --max-size 20G",
        "onward serve --host :: --trusted-proxies 10.0.0.0/8 --cors-origins https://app.example",
        "onward serve --workers 4 --state redis://127.0.0.1:6379/0",
    ),
    grant.NAME: (
        "onward grant --sub customer-17 --max-size 5G --expires 2h",
        "onward grant --url https://uploads.example/ --types 'image/*'",
    ),
    "list": ("onward list --status completed", "onward list --json --data /srv/uploads"),
    "show": ("onward show 4b2f2630", "onward show http://127.0.0.1:8080/files/4b2f263038e56821f67166301c0993ce"),
    "rm": ("onward rm 4b2f2630", "onward rm 4b2f2630 8d047263 --data /srv/uploads"),
    "events": ("onward events --failed", "onward events --retry"),
    "quota": ("onward quota", "onward quota customer-17 --json"),
    "backup": (
        "onward backup /backup/onward --data /srv/uploads",
        "onward backup /backup/onward --state redis://127.0.0.1:6379/0",
    ),
    "sweep": ("onward sweep --data /srv/uploads", "onward sweep --state redis://127.0.0.1:6379/0"),
    doctor.NAME: (
        "onward doctor --data /srv/uploads",
        "onward doctor --config /etc/onward.toml --url https://uploads.example/files",
    ),
    "completion": (
        'eval "$(onward completion bash)"',
        "onward completion zsh > ~/.zfunc/_onward",
        "onward completion fish > ~/.config/fish/completions/onward.fish",
    ),
    "man": ("onward man ~/.local/share/man/man1", "onward man . && man ./onward-serve.1"),
    "upload": (
        "onward upload report.pdf film.mkv --to http://127.0.0.1:8080/files",
        "onward upload -r photos --metadata album=winter --limit-rate 2M --to https://uploads.example/files",
        "tar c folder | onward upload - --name folder.tar --to http://127.0.0.1:8080/files",
    ),
    "watch": (
        "onward watch http://127.0.0.1:8080/files/4b2f263038e56821f67166301c0993ce",
        "onward watch --json --token TOKEN https://uploads.example/files/4b2f263038e56821f67166301c0993ce",
    ),
}


def epilog(command: str) -> str:
    """Return the examples of a command, as they end its --help."""
    return "\n  ".join(("examples:", *EXAMPLES[command]))


def build_parser(version: str, *, with_client: bool = False) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the command line, and those of the commands; those of the client only if wanted."""
    parser = Parser(prog="onward", description=ABOUT)
    parser.add_argument("-V", "--version", action="version", version=f"onward {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        words_of = {"show": " ID…", "rm": " ID…", "backup": " FOLDER", "completion": " SHELL", "man": " FOLDER"}.get(
            name, ""
        )
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            usage=f"onward {name} [options]{words_of}",
            epilog=epilog(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_arguments(command, name)
    if with_client:
        from onward.client import cli  # noqa: PLC0415 - the server does not need it

        cli.add_commands(commands, CLIENT_COMMANDS, epilog)
    else:
        for name, text in CLIENT_COMMANDS.items():
            commands.add_parser(name, help=text)
    return parser, dict(commands.choices)


def _add_arguments(command: Parser, name: str) -> None:
    match name:
        case "serve":
            add_options(command)
        case "completion":
            command.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
        case "man":
            command.add_argument("folder", metavar="FOLDER", help="where the pages are written; made if it is missing")
        case grant.NAME:
            grant.add_arguments(command)
            add_options(command, only=grant.SERVER_OPTIONS)
        case doctor.NAME:
            doctor.add_arguments(command)
            add_options(command, only=doctor.SERVER_OPTIONS)
        case _:
            operator.add_arguments(command, name)
            add_options(command, sweep=True)
