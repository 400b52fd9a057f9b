"""The Dockerfile, taken apart."""

import re

from deploy_tools import DEPLOY

DOCKERFILE = DEPLOY / "Dockerfile"


def steps() -> list[tuple[str, str]]:
    """Give the instructions of the Dockerfile with their arguments."""
    lines = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line)]


def last(instruction: str) -> str:
    """Give the arguments of the last instruction of a kind."""
    return [rest for word, rest in steps() if word == instruction][-1]


def image_environment() -> dict[str, str]:
    """Give the variables that the image sets."""
    return {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', last("ENV"))}
