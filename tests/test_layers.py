"""Imports run one way: protocol <- storage <- server, and inside them as docs/architecture.md draws it."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPURE = {"asyncio", "os", "time", "random", "secrets", "socket", "threading", "pathlib", "io", "logging", "subprocess"}
HTTP_FREE = {
    "server.background",
    "server.clock",
    "server.silence",
    "server.sweep",
    "server.engine",
    "server.finals",
    "server.finish",
    "server.hash_lane",
    "server.join",
    "server.ledger",
    "server.inlet",
    "server.receive",
    "server.reserve",
    "server.running_hash",
    "server.turn",
    "server.config",
    "server.kinds",
    "server.reading",
}
ORDER = (
    "protocol.errors", "protocol.quantities", "protocol.model", "protocol.checksums", "protocol.headers", "protocol.rules",
    "protocol.concatenation", "protocol.progress", "protocol.promises", "protocol.tus1",
    "storage.base", "storage.failpoints", "storage.reports", "storage.unbroken", "storage.threads", "storage.group_sync", "storage.codec", "storage.files", "storage.disk_probe", "storage.folders", "storage.publishing", "storage.copies", "storage.nodes", "storage.hub", "storage.leases", "storage.local",
    "storage.memory", "storage.disk_sink", "storage.disk", "storage.adopting",
    "storage.sqlite", "storage.redis_scripts", "storage.redis_client", "storage.redis_bus", "storage.redis", "storage",
    "server.proxies", "server.cors", "server.kinds", "server.config", "server.parser", "server.reading", "server.sha256", "server.running_hash", "server.hash_lane", "server.inlet", "server.receive", "server.turn", "server.join",
    "server.clock", "server.silence", "server.background", "server.ledger", "server.reserve", "server.finish", "server.finals", "server.sweep", "server.engine", "server.keys", "server.access", "server.leaving", "server.outage", "server.origin", "server.page", "server.middleware",
    "server.peer", "server.transport_probe", "server.connection", "server.direct", "server.body", "server.sendfile", "server.download", "server.routes",
    "server.watcher", "server.audience", "server.events", "server.sockets", "server.watch", "server.upkeep", "server.health", "server.listening", "server.app", "server.workers",
    "client.errors", "client.model", "client.environment", "client.patience", "client.answers", "client.origin", "client.outputs", "client.meter", "client.file",
    "client.faults",
    "client.resume", "client.body", "client.tus", "client.sender", "client.job", "client.beginning", "client.result",
    "client.parallel", "client.sending", "client.batch", "client.stream", "client.watching", "client.bars", "client.uploading", "client.watched",
    "client.cli", "client",
    "server.cli", "server.__main__",
)  # fmt: skip


def imported(source: str) -> set[str]:
    """Give the modules that a source imports, each name of `from package import module` as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wrong_imports(module: str, source: str) -> set[str]:
    """Give the imports of a module that run against the arrows."""
    names = imported(source)
    tops = {name.partition(".")[0] for name in names}
    wrong = {name for name in names if name in ORDER and ORDER.index(name) > ORDER.index(module)}
    if module.startswith("protocol"):
        wrong |= {top for top in tops if top in IMPURE or top not in sys.stdlib_module_names | {"protocol", "msgspec"}}
    if module.startswith("storage") or module in HTTP_FREE:
        wrong |= tops & {"aiohttp"}
    if module.startswith("client"):
        wrong |= tops & {"server", "storage"}
    if module not in {"server.reading", "client.environment"} and re.search(r"\benviron\b", source):
        wrong.add("os.environ")
    return wrong


def modules() -> dict[str, str]:
    """Give the source of each module that has arrows."""
    files = (file for package in ("protocol", "storage", "server", "client") for file in (ROOT / package).glob("*.py"))
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}
    return {name: file.read_text() for name, file in named.items() if name not in {"protocol", "server"}}


def test_every_module_has_its_place() -> None:
    assert set(modules()) == set(ORDER)


def test_imports_run_one_way() -> None:
    assert {name: wrong for name, source in modules().items() if (wrong := wrong_imports(name, source))} == {}


def test_a_wrong_import_is_found() -> None:
    assert wrong_imports("protocol.rules", "from protocol.tus1 import VERSION") == {"protocol.tus1"}
    assert wrong_imports("protocol.model", "import time") == {"time"}
    assert wrong_imports("storage.disk", "from aiohttp import web") == {"aiohttp"}
    assert wrong_imports("storage.base", "import server.engine") == {"server.engine"}
    assert wrong_imports("server.engine", "import aiohttp") == {"aiohttp"}
    assert wrong_imports("server.app", "import os\nos.environ") == {"os.environ"}
    assert wrong_imports("client.tus", "from storage.base import State") == {"storage"}
    assert wrong_imports("server.app", "from client import upload") == {"client"}
