"""What /metrics says: all that the alert rules and the dashboard ask for, in good form, and summed over workers."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from http_connection import Tus, poll
from onward_process import ROOT
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from prometheus_tools import prometheus, promtool
from server_process import Server, serving

from onward.server.config import Config
from onward.server.lifespan import open_engine
from onward.server.metrics import Metrics
from onward.server.option_kinds import ADDRESS
from onward.server.shared_numbers import SharedNumbers, shared_memory
from onward.server.uploads.measures import METHODS, OTHER, Histogram, Measures
from onward.storage.base import Room

pytestmark = pytest.mark.slow
DEPLOY = ROOT / "deploy"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(92)
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OF_PROMETHEUS = {"job", "instance", "__name__"}  # labels that a scrape adds
SELECTOR = re.compile(r"\b((?:onward|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
BY = re.compile(r"\bby\s*\(([^)]*)\)")
Found = dict[str, set[frozenset[str]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with everything that has metrics, after a small workload."""
    nowhere = f"http://127.0.0.1:{free_port()}/"
    options = ["--types=image/*", f"--webhook={nowhere}", f"--webhook-secret={SECRET}"]
    with serving(tmp_path_factory.mktemp("metrics") / "data", options) as running:
        work(running.tus)
        yield running


def work(tus: Tus) -> None:
    """Upload, refuse, leave unfinished, remove, ask for what is not there."""
    assert tus.patch(tus.create(len(PNG)), 0, PNG).status == 204
    assert tus.patch(tus.create(100), 0, bytes(100)).status == 415
    tus.create(5)
    assert tus.ask("DELETE", tus.create(5)).status == 204
    assert tus.ask("GET", f"/files/{'0' * 32}").status == 404
    assert tus.ask("PROPFIND", "/files").status == 405


def scraped(tus: Tus) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Give the samples of /metrics."""
    text = tus.ask("GET", "/metrics").body.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(tus: Tus, name: str, **labels: str) -> float:
    """Give one sample."""
    return scraped(tus)[name, frozenset(labels.items())]


def test_the_metrics_tell_what_was_done(server: Server) -> None:
    tus = server.tus
    assert value(tus, "onward_uploads_created_total") == 4
    assert value(tus, "onward_uploads_open", status="pending") == 1
    assert value(tus, "onward_uploads_ended_total", how="completed") == 1
    assert value(tus, "onward_uploads_ended_total", how="lost") == 0
    assert value(tus, "onward_http_requests_total", method="PATCH", code="204") == 1
    assert value(tus, "onward_http_requests_total", method="PATCH", code="415") == 1
    assert value(tus, "onward_http_requests_total", method=OTHER, code="405") == 1
    assert value(tus, "onward_http_request_seconds_count", method="PATCH") == 2
    assert value(tus, "onward_upload_size_bytes_sum") == len(PNG)
    assert value(tus, "onward_upload_size_bytes_bucket", le="1024.0") == 1
    assert value(tus, "onward_upload_seconds_count") == 1
    assert value(tus, "onward_store_seconds_count", store="state", operation="insert") == 4
    assert value(tus, "onward_store_seconds_count", store="blobs", operation="publish") == 1
    assert value(tus, "onward_free_bytes", folder="files") > 0
    assert value(tus, "onward_checks_total", check="types", outcome="held") == 0
    assert value(tus, "process_open_fds") > 3
    assert any(name == "onward_build_info" and dict(labels)["version"] for name, labels in scraped(tus))


def test_promtool_has_nothing_to_say_about_the_metrics(server: Server) -> None:
    assert promtool("check", "metrics", text=server.tus.ask("GET", "/metrics").body) == ""


def test_the_alert_rules_are_right_and_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(DEPLOY / "prometheus" / "alerts.yaml"))
    assert "SUCCESS" in promtool("test", "rules", str(DEPLOY / "prometheus" / "alerts_test.yaml"))


def test_each_alert_rule_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yaml").read_text())
    tests = (DEPLOY / "prometheus" / "alerts_test.yaml").read_text()
    assert alerts
    assert all(f"name: {alert} fires" in tests and f"name: {alert} is quiet" in tests for alert in alerts)


def dashboard_queries() -> list[str]:
    """Give the expressions of all panels, with the variables of Grafana replaced."""
    panels: list[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "onward.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [
        query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$job", ".*") for query in queries
    ]


def alert_queries() -> list[str]:
    """Give the expressions of all alert rules."""
    text = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    found = re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", text)
    return [" ".join((block or line).split()) for block, line in found]


def unknown(query: str, found: Found) -> set[str]:
    """Give what an expression names and no sample has: metrics, labels of selectors, and labels behind `by`."""
    wrong, known = set[str](), set(OF_PROMETHEUS)
    for name, matchers in SELECTOR.findall(query):
        labels = set().union(*found.get(name, ()))
        known |= labels
        asked = set(re.findall(r"([a-z_]+)\s*[=!]", matchers))
        if name != "up" and (name not in found or asked - labels - OF_PROMETHEUS):
            wrong.add(f"{name}{{{matchers}}}")
    for names in BY.findall(query):
        wrong |= {name.strip() for name in names.split(",")} - known
    return wrong


def test_each_query_names_only_what_the_metrics_have(server: Server) -> None:
    found: Found = {}
    for name, labels in scraped(server.tus):
        found.setdefault(name, set()).add(frozenset(dict(labels)))
    queries = [*dashboard_queries(), *alert_queries()]
    assert len(queries) > 35
    assert {query: wrong for query in queries if (wrong := unknown(query, found))} == {}
    assert unknown('sum by (kind) (onward_checks_total{colour="red"})', found) == {
        'onward_checks_total{colour="red"}', "kind",
    }  # fmt: skip
    assert unknown("rate(onward_nothing_total[5m])", found)


def test_a_real_prometheus_has_data_for_each_panel_of_the_dashboard(server: Server, tmp_path: Path) -> None:
    with prometheus(tmp_path / "prometheus", f"127.0.0.1:{server.tus.port}") as running:
        poll(lambda: len(running.query("count_over_time(up[1m]) > 2")) == 1)
        work(server.tus)  # so that the rates are not 0
        time.sleep(2)
        empty = [query for query in dashboard_queries() if not running.query(query)]
        assert empty == []
        nan = [
            query for query in dashboard_queries() if all(each["value"][1] == "NaN" for each in running.query(query))
        ]
        assert nan == []
        for query in alert_queries():  # an expression that can't be evaluated raises
            running.query(query)
        assert {each["metric"]["status"] for each in running.query("onward_uploads_open")} >= {"pending"}


def test_the_routes_for_operators_move_to_a_listener_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "data", ["--auth=key", f"--ops-listen=127.0.0.1:{port}"]) as running:
        ops = Tus(port)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert running.tus.ask("GET", path).status == 404
            assert ops.ask("GET", path).status == 200
        assert ops.ask("POST", "/files", {"Content-Length": "0"}).status == 404
        files = running.data / "files"
        files.rename(running.data / "away")
        poll(lambda: ops.ask("GET", "/readyz").status == 503)
        assert b"files/" in ops.ask("GET", "/readyz").body
        (running.data / "away").rename(files)
        poll(lambda: ops.ask("GET", "/readyz").status == 200)


def test_metrics_are_those_of_all_workers_and_outlive_one_that_dies(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    options = [f"--state={redis_url}", "--workers=3", f"--ops-listen=127.0.0.1:{port}"]
    with serving(tmp_path / "data", options) as running:
        ops = Tus(port)
        try:
            for _ in range(12):  # each on a connection of its own, so on any worker
                running.tus.create(5)
            poll(lambda: {value(ops, "onward_uploads_created_total") for _ in range(8)} == {12})
            processes = [dict(labels)["worker"] for name, labels in scraped(ops) if name == "process_open_fds"]
            assert sorted(processes) == ["0", "1", "2"]
            assert value(ops, "onward_uploads_open", status="pending") == 12
            assert value(ops, "onward_running") == 0
            children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
            victim = int(children[0])
            time.sleep(1.1)  # its numbers are shared once a second
            os.kill(victim, signal.SIGKILL)
            poll(lambda: "starting it again" in running.data.with_suffix(".log").read_text())
            running.tus.create(5)
            poll(lambda: {value(ops, "onward_uploads_created_total") for _ in range(8)} == {13})
        finally:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(20)


def test_numbers_of_workers_are_added_up_and_those_of_now_end_with_their_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, of_now = shared_memory(2), frozenset({"running"})
    one, two = (SharedNumbers(memory, number, of_now) for number in range(2))
    assert one.total() == {}
    one.write({("created",): 3, ("running",): 1, ("ended", "a"): 1})
    two.write({("created",): 4, ("running",): 2})
    assert two.total() == {("created",): 7, ("running",): 3, ("ended", "a"): 1}
    assert set(one.processes()) == {0, 1}
    again = SharedNumbers(memory, 0, of_now)
    again.write({("created",): 1})
    assert two.total() == {("created",): 8, ("running",): 2, ("ended", "a"): 1}
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 1)  # no process has it
    two.write({("created",): 4, ("running",): 2})
    assert again.total() == {("created",): 8, ("ended", "a"): 1}
    memory[1][20:30] = bytes(10)  # damaged, or being written
    assert again.total() == {("created",): 4, ("ended", "a"): 1}


async def test_a_disk_that_hangs_holds_up_no_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.server.metrics.WAIT", 0.05)
    engine = await open_engine(Config(data=str(tmp_path), state="memory:", blobs="memory:"))
    released, asked = asyncio.Event(), []

    async def room() -> Room:
        asked.append(1)
        while not released.is_set():  # as a call in a thread, it can't be cancelled
            with suppress(asyncio.CancelledError):
                await released.wait()
        return Room(7, None)

    monkeypatch.setattr(engine.records.storage.blobs, "room", room)
    metrics = Metrics(engine, lambda: 0)
    for _ in range(2):
        text = (await metrics.text()).decode()
        assert "onward_free_bytes" not in text
        assert "onward_running 0.0" in text
    assert len(asked) == 1
    released.set()
    assert 'onward_free_bytes{folder="files"} 7.0' in (await metrics.text()).decode()
    await engine.close()


def test_a_histogram_counts_a_bound_as_part_of_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for each in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(each)
    assert (histogram.counts, histogram.sum) == ([2, 1, 1], 6.0)


def test_a_watcher_is_counted_but_not_timed() -> None:
    measures = Measures()
    measures.note_request("GET", 101, None)
    measures.note_request("FOO", 405, 0.1)
    assert measures.requests == {("GET", 101): 1, (OTHER, 405): 1}
    assert sum(measures.latencies["GET"].counts) == 0
    assert sum(measures.latencies[OTHER].counts) == 1
    assert OTHER not in METHODS


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "http://a:1", "a b:1"])
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    assert ADDRESS.read("[::1]:9100") == "[::1]:9100"
    with pytest.raises(ValueError, match="is not an address such as"):
        ADDRESS.read(text)
