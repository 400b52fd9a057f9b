"""What holds for every file of the project: its length, no dead code, and where undocumented parts of libraries are used."""

import ast
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 350
TRANSPORT = "server/http/transport/"
OWN_ARGUMENTS = {"self", "cls"}
DOCUMENTED = {
    "os._exit",
    "logging._srcfile",  # in the Logging HOWTO, under optimization
    "argparse._ArgumentGroup",  # as the type of what a documented method returns
}
CALLED_FROM_OUTSIDE = {  # by a library, or found by name; for each pattern of files, patterns of names
    "*": {"pytestmark", "pytest_*", "__getattr__", "__init_subclass__"},
    "client/cli/bars.py": {"bar_format", "initial"},  # read by tqdm
    "client/file.py": {"mtime_ns", "inode"},  # compared together with the rest of the value
    "client/model.py": {"last_updated"},  # for applications
    "server/log.py": {"formatTime", "datefmt", "logThreads", "logProcesses", "logMultiprocessing", "_srcfile"},
    "server/http/transport/connection.py": {"_parser", "eof_received", "handle_error"},
    "storage/running/threads.py": {"msg"},  # an argument of Future.cancel
    "server/uploads/checks/*.py": {"__call__", "early"},  # a check is called, and "early" is read by its name
    "tests/server/test_body.py": {"side_effect"},
    "tests/conftest.py": {"seaweedfs", "versitygw"},  # fixtures that are asked for by name
    "tests/support/simulated_disk.py": {"_*"},  # stand for functions of os
    "tests/support/upload_machine*.py": {  # by hypothesis
        "patch_wrongly",
        "set_the_clock",
        "watchers_are_*",
        "teardown",
        "die_at_a_check",
        "stop_or_start_the_scanner",
    },
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


def is_called_from_outside(file: str, name: str) -> bool:
    """Tell whether a library uses a name that nothing in the project uses."""
    return any(
        fnmatch(name, each) for files, names in CALLED_FROM_OUTSIDE.items() if fnmatch(file, files) for each in names
    )


def unused(*paths: Path, root: Path = ROOT) -> set[tuple[str, str]]:
    """Give the file and the name of everything that these files define or can't reach, and that none of them uses."""
    vulture = pytest.importorskip("vulture").Vulture()
    vulture.scavenge([str(path) for path in paths])
    return {(str(item.filename.relative_to(root)), item.name) for item in vulture.get_unused_code(min_confidence=60)}


def test_there_is_no_dead_code() -> None:
    found = unused(*(ROOT / name for name in ("onward", "protocol", "storage", "server", "client", "tests")))
    assert {(file, name) for file, name in found if not is_called_from_outside(file, name)} == set()


def test_dead_code_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def used(): pass\ndef dead(): pass\nused()\n")
    assert unused(tmp_path, root=tmp_path) == {("a.py", "dead")}


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
