"""The compose files: their words are ours, their names exist, and what they describe works here as plain processes."""

import os
import re
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from compose_file import Compose
from deploy_tools import DEPLOY, download, open_up, upload
from image_file import image_environment, last

from onward.server.config_reader import foreign_variables, read

pytestmark = pytest.mark.slow
FILES = ["compose.yaml", "compose.s3.yaml"]


@pytest.fixture
def compose(request: pytest.FixtureRequest, tmp_path: Path) -> Compose:
    open_up(tmp_path / "data")
    return Compose(request.param, tmp_path, image_environment())


@pytest.mark.parametrize("compose", FILES, indirect=True)
def test_all_that_a_compose_file_names_exists(compose: Compose) -> None:
    services = compose.services
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for mounted in service.get("volumes", ()):
            source = mounted.partition(":")[0]
            assert source in compose.document["volumes"] or (DEPLOY / source).is_file(), mounted
    for waits, needs in ((name, need) for name in services for need in services[name].get("depends_on", {}).items()):
        if needs[1]["condition"] == "service_healthy":  # the health check of a server is in its image
            assert needs[0] in compose.servers or "healthcheck" in services[needs[0]], f"{waits} waits for {needs[0]}"
    upstream = re.findall(r"^\s+server ([\w-]+):(\d+) ", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    assert upstream == [(name, last("EXPOSE")) for name in compose.servers]


@pytest.mark.parametrize("compose", FILES, indirect=True)
def test_the_variables_of_a_compose_file_are_options_with_good_values(compose: Compose) -> None:
    for name in compose.servers:
        assert compose.services[name]["image"] == f"onward:{version('onward')}"
        env = compose.environment_of(name)
        assert foreign_variables((), env) == []
        config = read({}, env).config
        for url in filter(None, (config.state, config.s3_endpoint)):
            assert urlsplit(url).hostname in compose.services
        (network,) = compose.document["networks"]["default"]["ipam"]["config"]
        assert env["ONWARD_TRUSTED_PROXIES"] == network["subnet"]
        assert compose.services[name]["stop_grace_period"] == "15s"
        assert config.drain < 13


@pytest.mark.parametrize("compose", FILES, indirect=True)
def test_an_upload_through_nginx_goes_on_while_each_server_is_killed_and_comes_back(compose: Compose) -> None:
    content = os.urandom(13 * 2**20 + 77)
    first, second = compose.servers
    with compose.up():
        events = [
            lambda: compose.kill_server(first),
            lambda: None,
            lambda: compose.start_server(first),
            lambda: compose.kill_server(second),
        ]
        path = upload(compose.port, content, 8, events)
        assert download(compose.port, path) == content
        if "seaweedfs" in compose.services:
            kept = [each for name in compose.servers for each in compose.data_of(name).rglob("*") if each.is_file()]
            assert sum(each.stat().st_size for each in kept) < 10_000  # no bytes of the upload
