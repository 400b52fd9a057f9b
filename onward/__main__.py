"""The command `onward`, and `python -m onward`: nothing is loaded yet, so that Ctrl-C is heeded while the rest is."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run a command; exits with 130 when Ctrl-C ends it."""
    try:
        from onward.server import cli  # noqa: PLC0415 - takes a quarter of a second

        cli.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
