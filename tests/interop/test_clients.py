"""Real clients over a bad line, on either state, with cuts and with a killed server."""

import random
from pathlib import Path

import end_to_end_scenario as scenario
import pytest
from end_to_end_scenario import CLIENTS, Fault, client_process
from onward_process import onward

SIZE = 24 * 2**20 + 12345
RATE = 16 * 2**20


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


@pytest.mark.parametrize("fault", ["cuts", "kill"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_file_arrives_whole(client: str, fault: Fault, state_url: str, file: Path, tmp_path: Path) -> None:
    await scenario.upload(client, state_url, fault, file, tmp_path / "data", rate=RATE)


async def test_tusjs_never_takes_a_failed_upload_for_a_finished_one(file: Path, tmp_path: Path) -> None:
    async with (
        onward(tmp_path / "data", "sqlite:") as server,
        client_process("tusjs", [server.url, str(file), "00" * 32]) as sender,
    ):
        assert "url" in await sender.told(20)
        told = await sender.told(60)
        assert told["ok"] is False
        assert "460" in told["error"]
