"""Draw docs/pictures/terminal.svg from real terminals: python tests/client/terminal_picture.py.

`onward upload` and `onward watch` run on pseudo-terminals, over a line of limited rate; what these show in the middle of
the upload is drawn.
"""

import asyncio
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support")]

from onward_process import onward
from unreliable_proxy import RoughLine

COLUMNS, ROWS = 98, 12
PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"
SIZES = {"lecture.mp4": 96, "backup.tar": 160}  # MiB
RATE = 40 * 2**20
PIECE = re.compile(r"\x1b\[([0-9]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")
LINE, CELL, MARGIN = 20, 8.4, 18


class Terminal:
    """What a terminal shows of a program's output."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = self._column = 0
        self._master, self._slave = pty.openpty()
        ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    async def run(self, *words: str, **environment: str) -> asyncio.subprocess.Process:
        """Run a program in it."""
        self.lines[0] = f"$ {' '.join(words)}"
        self._write("\n")
        asyncio.get_running_loop().add_reader(self._master, self._read)
        program = str(Path(sys.executable).with_name(words[0]))
        return await asyncio.create_subprocess_exec(
            program, *words[1:], stdin=self._slave, stdout=self._slave, stderr=self._slave,
            cwd=environment.pop("cwd"), env=os.environ | {"TERM": "xterm", "COLUMNS": str(COLUMNS)} | environment,
        )  # fmt: skip

    def close(self) -> None:
        """Close it."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _read(self) -> None:
        self._write(os.read(self._master, 65536).decode("utf-8", "replace"))

    def _write(self, text: str) -> None:
        for piece in PIECE.finditer(text):
            count, command = int(piece[1] or 1), piece[2]
            if piece[0] == "\r":
                self._column = 0
            elif piece[0] == "\n" or command == "B":
                self._row += count
            elif command == "A":
                self._row = max(self._row - count, 0)
            elif command == "K":
                self.lines[self._row] = self.lines[self._row][: self._column]
            elif command is None:
                line = self.lines[self._row].ljust(self._column)
                self.lines[self._row] = line[: self._column] + piece[0] + line[self._column + len(piece[0]) :]
                self._column += len(piece[0])
            self.lines += [""] * (self._row + 1 - len(self.lines))


def drawn(panes: list[list[str]]) -> str:
    """Draw the lines of each pane, below each other."""
    width, shapes, y = int(COLUMNS * CELL) + 2 * MARGIN, list[str](), 0
    for lines in panes:
        while lines and not lines[-1].strip():
            lines.pop()
        height = len(lines) * LINE + 2 * MARGIN
        shapes.append(f'<rect y="{y}" width="{width}" height="{height}" rx="10" fill="#16202e"/>')
        for number, line in enumerate(lines):
            colour = "#7fb2ff" if line.startswith("$") else "#e6ebf2"
            at = y + MARGIN + number * LINE + 14
            shapes.append(
                f'<text x="{MARGIN}" y="{at}" fill="{colour}" xml:space="preserve">{escape(line.rstrip())}</text>'
            )
        y += height + 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y - 12}" font-family="monospace" font-size="14">'
    return "\n".join((head, *shapes, "</svg>")) + "\n"


async def main() -> None:
    """Upload, watch, and draw."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, size in SIZES.items():
            (folder / name).write_bytes(os.urandom(size * 2**20))
        async with onward(folder / "data", "sqlite:") as server:
            proxy = RoughLine(server.port, rate=RATE)
            async with proxy.running():
                sending, watching = Terminal(), Terminal()
                url = proxy.url
                upload = await sending.run("onward", "upload", *SIZES, "--to", url, cwd=place, XDG_STATE_HOME=place)
                while len(list((server.data / "partial").glob("*"))) + len(list((server.data / "files").glob("*"))) < 2:
                    await asyncio.sleep(0.02)
                newest = max((server.data / "partial").iterdir(), key=lambda path: path.stat().st_mtime)
                watch = await watching.run("onward", "watch", f"{server.url}/{newest.name}", cwd=place)
                while newest.exists() and newest.stat().st_size < SIZES["backup.tar"] * 2**20 * 0.6:
                    await asyncio.sleep(0.02)
                panes = [list(terminal.lines) for terminal in (sending, watching)]
                await asyncio.gather(upload.wait(), watch.wait())
                sending.close()
                watching.close()
        ports = {str(proxy.port): "8080", str(server.port): "8080"}
        for port, usual in ports.items():
            panes = [[line.replace(f":{port}/", f":{usual}/") for line in lines] for lines in panes]
        PICTURE.write_text(drawn(panes))


if __name__ == "__main__":
    asyncio.run(main())
