"""What holds for every file of the project: its length, and where undocumented parts of libraries may be used."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 350
TRANSPORT = "server/http/transport/"
OWN_ARGUMENTS = {"self", "cls"}
DOCUMENTED = {
    "os._exit",
    "logging._srcfile",  # in the Logging HOWTO, under optimization
    "argparse._ArgumentGroup",  # as the type of what a documented method returns
}


def product_files() -> list[Path]:
    """Give the project's own Python files, without the tests."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split() if not name.startswith(("tests/", "docs/"))]


def private_names(source: str) -> set[str]:
    """Give the private attributes and modules of others that a source uses.

    Attributes of `self` and `cls`, and private names that the source itself defines, are its own.
    """
    tree = ast.parse(source)
    own = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {
        node.attr for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name) and node.value.id in OWN_ARGUMENTS
    }  # fmt: skip
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-zA-Z]", node.attr) and node.attr not in own:
            mine = isinstance(node.value, ast.Name) and node.value.id in OWN_ARGUMENTS
            found |= set() if mine else {ast.unparse(node)}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("onward"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names if re.match(r"_[a-zA-Z]", alias.name)}
    return found


def test_no_file_is_too_long_to_read() -> None:
    assert {
        str(path): lines for path in product_files() if (lines := len(path.read_text().splitlines())) > MOST_LINES
    } == {}


def test_undocumented_parts_of_libraries_are_used_in_one_package_only() -> None:
    outside = {
        str(path.relative_to(ROOT)): names
        for path in product_files()
        if not str(path.relative_to(ROOT)).startswith(TRANSPORT)
        and (names := private_names(path.read_text()) - DOCUMENTED)
    }
    assert outside == {}


def test_a_private_attribute_is_found() -> None:
    assert private_names("request.transport._loop") == {"request.transport._loop"}
    assert private_names("from aiohttp.web_protocol import _ErrInfo") == {"aiohttp.web_protocol._ErrInfo"}
    assert private_names("class A:\n  def b(self): self._own = 1; other._own") == set()
