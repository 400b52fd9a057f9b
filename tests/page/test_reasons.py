"""Why the server refuses something: the page knows only codes that the server sends, and has words for each of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from chromium import tab
from onward_process import OnwardProcess
from upload_page import UploadPage

from onward.protocol import model
from onward.protocol.errors import Refusal
from onward.protocol.model import Failure

ROOT = Path(__file__).resolve().parents[2]
REQUEST = ROOT / "server" / "page" / "static" / "request.js"
REJECTED = re.compile(r"Rejected\(\s*\"([\w-]+)\", (?:HTTPStatus\.)?(\w+)")
KNOWN = re.compile(r"^  '?([\w-]+)'?: '(\w+)',$", re.MULTILINE)
STATUSES = {"UNPROCESSABLE_ENTITY": 422}


def kinds_of(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds_of(narrower)


def sent() -> dict[str, int]:
    """Give the codes that the server sends, with their statuses: of refusals, of failures, and of checks."""
    codes = {kind.code: kind.status for kind in kinds_of(Refusal) if hasattr(kind, "code")}
    codes |= {value.code: value.status for value in vars(model).values() if isinstance(value, Failure)}
    for source in sorted((ROOT / "server").rglob("*.py")):
        for code, status in REJECTED.findall(source.read_text()):
            codes[code] = STATUSES.get(status) or int(status)
    return codes


async def test_the_page_has_words_for_every_code_that_the_server_sends(browser: str, server: OnwardProcess) -> None:
    codes = sent()
    assert {"infected", "unscannable", "type-not-allowed", "rejected", "lost", "quota-exceeded"} <= set(codes)
    table = re.search(r"const REASONS_OF_CODES = \{\n(.*?)\}", REQUEST.read_text(), re.DOTALL)
    assert table is not None
    known = dict(KNOWN.findall(table[1]))
    assert known
    assert set(known) <= set(codes), "the page knows a code that no server sends"
    async with tab(browser) as opened:
        await opened.speak("de")
        await opened.open(server.url.removesuffix("files"))
        await UploadPage(opened).ready()
        own = "Something in English."
        asked = [[status, code, own] for code, status in codes.items()]
        said = await opened.run(
            f"""import('./page/request.js').then(({{ sayReason }}) =>
              {json.dumps(asked)}.map(([status, code, own]) => [code, sayReason(status, code, own), sayReason(status, code)]))"""
        )
        words = await opened.run(
            f"import('./page/text.js').then(({{ text }}) => Object.fromEntries({json.dumps(sorted(known.values()))}.map((key) => [key, text(key)])))"
        )
        for code, with_reason, without in said:
            assert with_reason, code
            assert without, code
            assert "undefined" not in with_reason + without, code
            if code in known:
                assert with_reason == without == words[known[code]]
        assert words["virus"] in {code: why for code, why, _ in said}["infected"]
        assert opened.faults == []
