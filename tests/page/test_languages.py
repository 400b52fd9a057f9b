"""The languages of the page: all tables have the same keys and placeholders, and the browser decides which one is used."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import tab
from onward_process import OnwardProcess
from upload_page import UploadPage, upload_page

STATIC = Path(__file__).resolve().parents[2] / "server" / "page" / "static"
LANGUAGES = sorted(path.stem for path in (STATIC / "languages").iterdir())
TABLES = """Promise.all(%s.map(async (language) => {
  const { default: table } = await import(`./page/languages/${language}.js`)
  return [language, { table, plurals: new Intl.PluralRules(language).resolvedOptions().pluralCategories }]
})).then(Object.fromEntries)"""
SAID = re.compile(r"\btext\(\s*(?:\w+ \? )?'(\w+)'(?: : '(\w+)')?")
FILLED = re.compile(r"data-(?:text|label)=\"(\w+)\"")
LETTERS = {
    "de": "[äöüß]",
    "fr": "[éàè]",
    "es": "[áéíóú]",
    "zh": "[选择]",
    "zh-Hant": "[檔選]",
    "ja": "[ァ-ヶ]",
    "ar": "[ا-ي]",
}
SHOWN = "[document.documentElement.lang, document.querySelector('label[for=choose]').textContent]"
Write = Callable[[str, int], Path]


@pytest.fixture
async def tables(browser: str, server: OnwardProcess) -> dict[str, Any]:
    """The tables, and the plural forms of their languages."""
    async with tab(browser) as page:
        await page.open(server.url.removesuffix("files"))
        read: dict[str, Any] = await page.run(TABLES % LANGUAGES)
        return read


def placeholders(entry: str | dict[str, str]) -> set[str]:
    """Give the placeholders of a text; the number itself may be a word of the text (`a file`)."""
    return set(re.findall(r"\{(\w+)\}", entry if isinstance(entry, str) else entry["other"]))


async def test_all_tables_have_the_same_keys_placeholders_and_their_plurals(tables: dict[str, Any]) -> None:
    assert set(LANGUAGES) == {"ar", "de", "en", "es", "fr", "ja", "zh", "zh-Hant"}
    english = tables["en"]["table"]
    for language, told in tables.items():
        table = told["table"]
        assert list(table) == list(english), language
        for key, entry in table.items():
            assert placeholders(entry) == placeholders(english[key]), (language, key)
            assert isinstance(entry, str) == isinstance(english[key], str), (language, key)
            if isinstance(entry, dict):
                assert set(entry) == set(told["plurals"]), (language, key)
        assert table["copyHint"].startswith(table["copy"]), f"{language}: the label begins with what is to be read"
        same = [key for key in table if table[key] == english[key] and language != "en"]
        assert set(same) <= {"ofFile", "titleWorking", "perSecond", "bytesOf", "images", "videos", "live"}, (
            language,
            same,
        )


async def test_every_text_is_used_and_every_used_text_is_there(tables: dict[str, Any]) -> None:
    sources = "".join(path.read_text() for path in STATIC.iterdir() if path.suffix in {".js", ".html"})
    keys = set(tables["en"]["table"])
    used = {key for found in SAID.findall(sources) for key in found if key} | set(FILLED.findall(sources))
    assert used <= keys
    assert {key for key in keys if not re.search(rf"\b{key}\b", sources)} == set()


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
async def test_the_browser_decides(
    browser: str, server: OnwardProcess, tables: dict[str, Any], write: Write, language: str
) -> None:
    texts, file = tables[language]["table"], write("a file.bin", 1000)
    async with tab(browser) as opened:
        await opened.speak("tlh", {"zh": "zh-CN", "zh-Hant": "zh-TW", "de": "de-AT"}.get(language, language), "en-US")
        await opened.open(server.url.removesuffix("files"))
        page = UploadPage(opened)
        await page.ready()
        await page.choose(file)
        row = await page.until(file.name, "verified")
        assert row["status"] == texts["verified"]
        html = await opened.run("[document.documentElement.lang, document.documentElement.dir]")
        assert html == [language, "rtl" if language == "ar" else "ltr"]
        await opened.until(f"document.title === {json.dumps(texts['title'])}")
        text = await opened.run("document.body.innerText")
        assert re.search(LETTERS[language], text)
        assert "undefined" not in text
        assert opened.faults == []


async def test_other_languages_are_shown_in_english(browser: str, server: OnwardProcess) -> None:
    async with tab(browser) as opened:
        await opened.speak("tlh", "eo")
        await opened.open(server.url.removesuffix("files"))
        await UploadPage(opened).ready()
        assert await opened.run("document.documentElement.lang") == "en"
        assert await opened.run("document.querySelector('label[for=choose]').textContent") == "Choose files"


async def test_chinese_is_shown_in_the_script_that_the_browser_names(browser: str, server: OnwardProcess) -> None:
    simplified = ("zh", "zh-CN", "zh-SG", "zh-Hans-TW", "zh-x")  # the last one is no tag of BCP 47
    traditional = ("zh-TW", "zh-Hant", "zh-HK", "zh-MO", "ZH-tw", "zh-Hant-CN")
    async with tab(browser) as opened:
        for named in simplified + traditional:
            await opened.speak(named, "en-US")
            await opened.open(server.url.removesuffix("files"))
            await UploadPage(opened).ready()
            said = ["zh", "选择文件"] if named in simplified else ["zh-Hant", "選擇檔案"]
            assert await opened.run(SHOWN) == said, named
            assert opened.faults == []


async def test_a_browser_that_names_its_language_oddly_shows_the_page(browser: str, server: OnwardProcess) -> None:
    for named, shown in (("en-US@posix", "en"), ("de-x", "de")):  # no tags of BCP 47
        async with tab(browser) as opened:
            await opened.speak(named)
            await opened.open(server.url.removesuffix("files"))
            await UploadPage(opened).ready()
            assert await opened.run("document.documentElement.lang") == shown
            assert opened.faults == []


async def test_numbers_have_their_plural_and_sizes_their_language(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        said = await page.tab.run(
            """Promise.all([import('./page/text.js'), import('./page/units.js')]).then(([{ text }, units]) => [
              text('doneOf', { done: 1, count: 1 }), text('doneOf', { done: 1200, count: 2000 }),
              units.sayBytes(1), units.sayBytes(999), units.sayBytes(1500), units.sayBytes(2e9), units.sayTime(3700),
            ])"""
        )
        assert [each.replace("\u00a0", " ") for each in said] == [
            "1 of 1 file done", "1,200 of 2,000 files done",
            "1 byte", "999 bytes", "1.5 kB", "2.0 GB", "1 hr 1 min",
        ]  # fmt: skip
