"""Text of unknown origin, made safe to print: names of files, and what a server writes."""


def readable(name: str) -> str:
    """Return the name of a file as text; bytes that are not UTF-8 are escaped."""
    return name.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """Replace what a terminal could take for a command."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
