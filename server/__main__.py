"""Lets `python -m server` be the command `onward`."""

from server.cli import main

main()
