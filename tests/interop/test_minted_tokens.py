"""The tokens that docs/access.md shows how to make: its own lines are run, and the server accepts what they make."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import jwt
import pytest
from nodejs import INTEROP, require
from server_process import Server
from token_maker import OwnKey

OPTIONS = ("--auth=key",)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "access.md"
KEY = "data/auth.key"


def lines_with(word: str) -> str:
    """Return the code of the document that has a word in it."""
    [code] = [
        code for code in re.findall(r"```(?:python|js)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if word in code
    ]
    return str(code)


def run(words: list[str], folder: Path) -> str:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def in_python(word: str) -> Callable[[Path], str]:
    return lambda key: run(
        [sys.executable, "-c", lines_with(word).replace(KEY, str(key)) + "\nprint(token)"], key.parent
    )


def in_javascript(key: Path) -> str:
    require("jose")
    code = lines_with("jose").replace(KEY, str(key)) + "\nconsole.log(token)"
    return run(["node", "--input-type=module", "--eval", code], INTEROP)


MINTERS = {"mint": in_python("mint"), "PyJWT": in_python("jwt.encode"), "jose": in_javascript}


@pytest.mark.parametrize("minter", MINTERS)
async def test_what_the_document_mints_is_accepted(server: Server, http: aiohttp.ClientSession, minter: str) -> None:
    token = MINTERS[minter](server.data / "auth.key")
    claims = jwt.decode(token, OwnKey(server.data / "auth.key").key, algorithms=["HS256"])
    assert claims["sub"] == "customer-17"
    assert claims["onward"] == {"maxSize": 5_000_000_000, "maxUploads": 10, "types": ["image/*"]}
    login = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    for length, status in (("1000", 201), ("5000000001", 413)):
        async with http.post(server.url, headers=login | {"Upload-Length": length}) as answer:
            assert answer.status == status
