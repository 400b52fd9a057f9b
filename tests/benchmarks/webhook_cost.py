"""What webhooks cost small uploads: python tests/benchmarks/webhook_cost.py [ROUNDS]

Three servers get the same load in turns: without webhooks, with `upload.completed` only (one webhook for each upload),
and with all events (two). A fourth has a receiver that never answers. Each upload is a creation and one PATCH, and the
receiver is a process of its own. Printed are the medians of the rate, and of the processor time of the server for one
upload, which other work on the machine disturbs less. It includes what is delivered after the last reply.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support"), str(Path(__file__).resolve().parent)]

from load import Client
from ports import free_port
from server_process import Server, serving
from webhook_receiver import SECRET

SIZE, COUNT, CONNECTIONS = 4096, 400, 8
TICKS = os.sysconf("SC_CLK_TCK")


class _Taking(asyncio.Protocol):
    """Takes every request; reads no more of it than it must."""

    def __init__(self, answers: bool) -> None:
        self._answers, self._held = answers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            if self._answers:
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")  # type: ignore[attr-defined]


async def _receive(port: int, answers: bool) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Taking(answers), "127.0.0.1", port)
    await server.serve_forever()


def _receiver(port: int, answers: bool) -> None:
    asyncio.run(_receive(port, answers))


@contextmanager
def _receiving(answers: bool) -> Iterator[str]:
    port = free_port()
    process = multiprocessing.Process(target=_receiver, args=(port, answers), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.join()


def _upload_some(port: int, count: int) -> None:
    client = Client(port, "/files")
    for _ in range(count):
        client.patch(client.create(SIZE), 0, SIZE)
    client.close()


def _processor_time(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _settled(server: Server) -> None:
    """Wait until the server has nothing to do."""
    while True:
        before = _processor_time(server)
        time.sleep(0.3)
        if _processor_time(server) - before < 0.05:
            return


def _round(server: Server) -> tuple[float, float]:
    """Give the uploads a second, and the processor time of one."""
    used, began = _processor_time(server), time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda _: _upload_some(server.tus.port, COUNT // CONNECTIONS), range(CONNECTIONS)))
    seconds = time.perf_counter() - began
    _settled(server)
    return COUNT / seconds, (_processor_time(server) - used) / COUNT


def main() -> None:
    """Measure in turns."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        hook, hanging = stack.enter_context(_receiving(True)), stack.enter_context(_receiving(False))
        secret = f"--webhook-secret={SECRET}"
        kinds = {
            "without": [],
            "one webhook": [f"--webhook={hook}", secret, "--webhook-events=upload.completed"],
            "two webhooks": [f"--webhook={hook}", secret],
            "one that hangs": [f"--webhook={hanging}", secret, "--webhook-events=upload.completed"],
        }
        servers = {
            name: stack.enter_context(serving(Path(place) / name.replace(" ", "-"), ["--log-level=warning", *options]))
            for name, options in kinds.items()
        }
        results: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for number in range(rounds + 1):
            for name, server in servers.items():
                measured = _round(server)
                if number:  # the first round warms up
                    results[name].append(measured)
        for name, figures in results.items():
            against = [rate / before for (rate, _), (before, _) in zip(figures, results["without"], strict=True)]
            print(
                f"{name:15} {median(rate for rate, _ in figures):6.0f} uploads/s ({median(against):.0%}), "
                f"{median(used for _, used in figures) * 1e3:.2f} ms of the processor for each"
            )


if __name__ == "__main__":
    main()
