"""A server for each file of checks, and further ones with options of their own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw import Tus
from server_process import Server, Start, serving


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of a file, with the OPTIONS that the file names."""
    options = getattr(request.module, "OPTIONS", ())
    with serving(tmp_path_factory.mktemp("conformance") / "data", options) as running:
        yield running


@pytest.fixture
def tus(server: Server) -> Tus:
    """Requests to the server of a file."""
    return server.tus


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Further servers, as long as a test runs."""
    with ExitStack() as stack:
        count = 0

        def another(*options: str, files: str = "/files") -> Server:
            nonlocal count
            count += 1
            return stack.enter_context(serving(tmp_path / f"data{count}", options, files=files))

        yield another
