"""What PUT and forms cost beside a PATCH: python tests/benchmarks/plain.py [FOLDER].

One file by each way in turn, by curl too, and the memory of many forms at once.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Running, onward, running
from load import Client, pieces, upload

SIZE, ROUNDS = 2**30, 5  # bytes of the one file
FORMS, EACH = 20, 2**26  # forms at once, and the bytes of the file in each
MARK = "-" * 24 + "0123456789abcdef"
Way = Callable[[int, str, int], None]  # called with the port, the path of the uploads, and the size
HEAD = f'--{MARK}\r\nContent-Disposition: form-data; name="f"; filename="a"\r\nContent-Type: video/mp4\r\n\r\n'.encode()
END = f"\r\n--{MARK}--\r\n".encode()


def put(port: int, path: str, size: int) -> None:
    """Send a file by PUT."""
    client = Client(port, path)
    client.send(client.request("PUT", f"{path}/a", f"Content-Length: {size}", version=()))
    client.stream(size)
    client.answer(201)
    client.close()


def send_form(port: int, path: str, size: int) -> None:
    """Send a form with one file."""
    client, whole = Client(port, path), len(HEAD) + size + len(END)
    said = (f"Content-Type: multipart/form-data; boundary={MARK}", f"Content-Length: {whole}")
    client.send(client.request("POST", path, *said, version=()) + HEAD)
    client.stream(size)
    client.send(END)
    client.answer(201)
    client.close()


def by_curl(file: Path, *words: str) -> Way:
    """Return a way to send a file by curl, to a URL in which there is %U for that of the uploads."""

    def send(port: int, path: str, size: int) -> None:
        url = f"http://127.0.0.1:{port}{path}"
        if "PATCH" in words:
            client = Client(port, path)
            url = f"http://127.0.0.1:{port}{client.create(size)}"
            client.close()
        told = [word.replace("%U", url).replace("%F", str(file)) for word in words]
        subprocess.run(["curl", "--silent", "--show-error", "--fail", "-o", os.devnull, *told], check=True)

    return send


def rates(server: Running, file: Path) -> Iterator[str]:
    """Send one file by each way in turn; give the rates, and what they are beside a PATCH by the same client."""
    octets = "Content-Type: application/offset+octet-stream"
    ways: dict[str, Way] = {
        "PATCH": upload,
        "PUT": put,
        "form": send_form,
        "curl -X PATCH": by_curl(
            file, "-X", "PATCH", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0", "-H", octets, "-T", "%F", "%U"
        ),
        "curl -T": by_curl(file, "-T", "%F", "%U/a"),
        "curl -F": by_curl(file, "-F", "f=@%F", "%U"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began, before = time.monotonic(), server.cpu()
            way(server.port, server.contestant.path, SIZE)
            seconds[name].append(time.monotonic() - began)
            used[name].append(server.cpu() - before)
            for each in server.data.rglob("files/*"):
                each.unlink()
    for name, took in seconds.items():
        beside = "curl -X PATCH" if name.startswith("curl") else "PATCH"
        shares = (first / this for first, this in zip(seconds[beside], took, strict=True))
        yield (
            f"{name}: {SIZE / median(took) / 2**20:.0f} MiB/s, {median(shares):.2f} of {beside}, "
            f"{median(used[name]):.2f} s of the server's processor time"
        )


def memory(server: Running) -> str:
    """Send many forms at once, and tell how much the server has grown at most."""
    send_form(server.port, server.contestant.path, 2**22)
    before = server.resident()
    with ThreadPoolExecutor(FORMS) as pool:
        list(pool.map(lambda _: send_form(server.port, server.contestant.path, EACH), range(FORMS)))
    return (
        f"{FORMS} forms of {EACH // 2**20} MiB at once: {(server.peak() - before) / 2**20:+.1f} MiB of memory at most"
    )


def main(folder: Path) -> None:
    """Measure, and tell it."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = Path(place) / "file"
        with file.open("wb") as out:
            for piece in pieces(SIZE):
                out.write(piece)
        with running(onward(), Path(place)) as server:
            print(memory(server), flush=True)
            for line in rates(server, file):
                print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"))
