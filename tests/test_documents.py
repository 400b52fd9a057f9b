"""The files that documents and source files name are there: a reader who follows a name finds something."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SOURCES = [file for top in ("protocol", "storage", "server", "client") for file in (ROOT / top).rglob("*.py")]
PLANNED = {"server/events/delivery.py"}
HISTORY = {"CHANGELOG.md"}  # names what there was
PLACEHOLDER = "NAME"  # stands for a file that the reader adds
FILE = re.compile(r"\b(?:onward|protocol|storage|server|client|tests|docs)/[\w./-]*\w\.(?:py|md|js|css|html|svg|png)\b")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def missing_files(text: str) -> set[str]:
    """Return the files of the project that a text names and that do not exist."""
    return {name for name in FILE.findall(text) if PLACEHOLDER not in name and not (ROOT / name).exists()}


def test_files_that_documents_name_exist() -> None:
    found = {path.name: missing_files(path.read_text()) for path in DOCUMENTS if path.name not in HISTORY}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_files_that_sources_name_exist() -> None:
    found = {str(path.relative_to(ROOT)): missing_files(path.read_text()) - PLANNED for path in SOURCES}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_links_between_documents_lead_somewhere() -> None:
    broken = {
        (path.name, link)
        for path in DOCUMENTS
        for link in LINK.findall(path.read_text())
        if not (path.parent / link).exists()
    }
    assert broken == set()


def test_a_missing_file_is_found() -> None:
    assert missing_files("`server/ledger.py` and `protocol/model.py`") == {"server/ledger.py"}
