"""Imports run one way between the folders, as docs/architecture.md draws them, and never in a circle between files."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPURE = {"asyncio", "os", "time", "random", "secrets", "socket", "threading", "pathlib", "io", "logging", "subprocess"}
MAY_IMPORT = {  # what each folder may import, beside itself; the longest folder that fits a module counts
    "protocol": set(),
    "storage": {"protocol"},
    "client": {"protocol"},
    "client.cli": {"protocol", "client"},
    "server.uploads": {"protocol", "storage"},
    "server.access": {"protocol", "storage", "server.uploads", "server.config"},
    "server.events": {"protocol", "storage", "server.uploads", "server.config"},
    "server.http": {"protocol", "storage", "server.uploads", "server.config", "server.access",
                    "server.http.transport"},
    "server.http.transport": {"protocol", "storage", "server.uploads", "server.http"},
    "server.watch": {"protocol", "storage", "server.uploads", "server.http", "server.http.transport", "server.config"},
    "server.page": {"protocol", "server.http", "server.config"},
    "server.control": {"protocol", "storage", "client", "client.cli", "server.uploads", "server.config"},
    "server.doctor": {"protocol", "storage", "server.config"},
    "server": {"protocol", "storage", "client", "client.cli", "server.doctor", "server.uploads", "server.http", "server.http.transport",
               "server.watch", "server.page", "server.control", "server.events", "server.access"},
}  # fmt: skip
SETTINGS = {
    "server.config",
    "server.option_kinds",
    "server.option",
    "server.access_options",
}  # what the folders of the server may know of its root
HTTP_FREE = ("protocol", "storage", "server.uploads", "server.control", *SETTINGS, "server.config_reader")
SENDS_REQUESTS = {"storage.blobs.s3.client"}  # to an object store
READS_ENVIRONMENT = {"server.config_reader", "server.systemd", "client.environment"}


def modules() -> dict[str, str]:
    """Give the source of each module, by its name below `onward`."""
    files = [file for top in ("protocol", "storage", "server", "client") for file in sorted((ROOT / top).rglob("*.py"))]
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return {name: file.read_text() for name, file in zip(names, files, strict=True)}


MODULES = modules()


def imported(source: str) -> set[str]:
    """Give the modules that a source imports, each name of `from package import module` as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def folder_of(module: str) -> str:
    """Give the folder that a module is counted to: the longest one that its name begins with."""
    return max((folder for folder in MAY_IMPORT if f"{module}.".startswith(f"{folder}.")), key=len)


def wrong_imports(module: str, source: str) -> set[str]:
    """Give the imports of a module that run against the arrows."""
    names = imported(source)
    tops = {name.partition(".")[0] for name in names}
    ours = {name.removeprefix("onward.") for name in names if name.removeprefix("onward.") in MODULES}
    folder = folder_of(module)
    allowed = MAY_IMPORT[folder] | {folder}
    wrong = {name for name in ours if folder_of(name) not in allowed}
    if "server.config" in allowed:
        wrong -= SETTINGS
    if folder == "protocol":
        wrong |= {top for top in tops if top in IMPURE or top not in sys.stdlib_module_names | {"onward", "msgspec"}}
    if f"{module}.".startswith(tuple(f"{free}." for free in HTTP_FREE)):
        wrong |= (tops & {"aiohttp"}) if module not in SENDS_REQUESTS else set()
    if module not in READS_ENVIRONMENT and re.search(r"\benviron\b", source):
        wrong.add("os.environ")
    return wrong


def circles() -> set[str]:
    """Give the modules that import themselves by way of others; packages count by what their own file imports."""
    graph = {
        name: {other.removeprefix("onward.") for other in imported(source)} & MODULES.keys() - {name}
        for name, source in MODULES.items()
    }

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = set(graph[start])
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead |= graph[name]
        return found

    return {name for name in graph if name in reached(name)}


def test_imports_run_one_way_between_folders() -> None:
    assert {name: wrong for name, source in MODULES.items() if (wrong := wrong_imports(name, source))} == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles() == set()


def test_everything_is_imported_under_one_name() -> None:
    tops = ("protocol", "storage", "server", "client")
    bare = {name: found for name, source in MODULES.items() if (found := imported(source) & set(tops))}
    assert bare == {}


def test_a_wrong_import_is_found() -> None:
    assert wrong_imports("protocol.model", "import time") == {"time"}
    assert wrong_imports("protocol.model", "from onward.storage.base import Blobs") == {"storage.base"}
    assert wrong_imports("storage.blobs.disk", "from aiohttp import web") == {"aiohttp"}
    assert wrong_imports("storage.base", "import onward.server.uploads.engine") == {"server.uploads.engine"}
    assert wrong_imports("server.uploads.engine", "import aiohttp") == {"aiohttp"}
    assert wrong_imports("server.uploads.engine", "from onward.server.http import routes") == {
        "server.http",
        "server.http.routes",
    }
    assert wrong_imports("server.http.routes", "from onward.server.app import serve") == {"server.app"}
    assert wrong_imports("server.app", "import os\nos.environ") == {"os.environ"}
    assert wrong_imports("client.connection", "from onward.storage.base import State") == {
        "storage",
        "storage.base",
    } - {"storage"}
