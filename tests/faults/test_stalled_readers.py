"""Readers that take nothing of an answer are let go, whatever the answer is; those that only take their time are not."""

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import http_connection as raw
import pytest
from http_connection import Connection, Tus
from onward_process import ROOT, processor_time
from server_process import Server, serving

STALL = 3.0  # seconds that this server waits for a byte to be taken, and the same again
LATE = 20.0
SIZE = 5 * 2**20  # bytes: more than the system keeps for a reader
PIECE, PAUSE = 2**15, 0.1  # bytes and seconds: such a reader needs longer than STALL until there is room again
STORES = ["file:", "memory:"]  # bytes that the kernel sends, and those that we do
FULL = 1.0  # seconds that a server takes no request in, and computes nothing, once its answers go nowhere
IDLE = 0.05  # processor seconds that a server may use in that time
SO_ATTACH_FILTER = 26


@contextmanager
def impatient(folder: Path, blobs: str) -> Iterator[Server]:
    program = (str(ROOT / "tests/support/impatient_server.py"), str(STALL))
    state = "memory:" if blobs == "memory:" else "sqlite:"
    with serving(folder, [f"--blobs={blobs}", f"--state={state}", "--durability=process"], program=program) as server:
        yield server


@contextmanager
def reader(tus: Tus) -> Iterator[socket.socket]:
    """A connection whose system takes little before it is read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        connection.settimeout(raw.PATIENCE)
        connection.connect(("127.0.0.1", tus.port))
        yield connection


def connections(server: Server) -> int:
    """Count the TCP connections that a server has."""
    inodes = set()
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except FileNotFoundError:
            continue
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(f"socket:[{line[9]}]" in inodes for line in lines if line[3] != "0A")


def vanish(connection: socket.socket) -> None:
    """Let nothing come in any more, as if the machine were gone: a filter that accepts no byte of any packet."""
    accept_nothing = struct.pack("HBBI", 6, 0, 0, 0)
    code = ctypes.create_string_buffer(accept_nothing)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@pytest.mark.parametrize("blobs", STORES)
@pytest.mark.parametrize("gone", [False, True], ids=["deaf", "gone"])
def test_a_download_that_nobody_takes_ends(blobs: str, gone: bool, tmp_path: Path) -> None:
    with impatient(tmp_path / "data", blobs) as server, reader(server.tus) as connection:
        path = server.tus.stored(os.urandom(SIZE))
        connection.sendall(server.tus.request("GET", path))
        assert connection.recv(5) == b"HTTP/"
        if gone:
            vanish(connection)
        assert connections(server) == 1
        raw.poll(lambda: connections(server) == 0, 2 * STALL + LATE)


@pytest.mark.parametrize("gone", [False, True], ids=["deaf", "gone"])
def test_answers_that_nobody_takes_end(gone: bool, tmp_path: Path) -> None:
    with impatient(tmp_path / "data", "file:") as server, reader(server.tus) as connection:
        asking = server.tus.request("HEAD", server.tus.create(1)) * 100
        connection.setblocking(False)
        busy, used = time.monotonic(), 0.0
        while time.monotonic() - busy < FULL:
            try:
                connection.send(asking)
                busy = time.monotonic()
            except BlockingIOError:
                time.sleep(0.02)
            if (now := processor_time(server.process.pid)) > used + IDLE:  # it is still at what came before
                busy, used = time.monotonic(), now
        if gone:
            vanish(connection)
        raw.poll(lambda: connections(server) == 0, 2 * STALL + LATE)


@pytest.mark.parametrize("blobs", STORES)
def test_who_takes_his_time_gets_all(blobs: str, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    with impatient(tmp_path / "data", blobs) as server, Connection(server.tus.port) as slow:
        path = server.tus.stored(data)
        slow._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        slow.send(server.tus.request("GET", path))
        assert b"200 OK" in slow.read_line(b"\r\n\r\n")
        began, body = time.monotonic(), b""
        while len(body) < SIZE:
            body += slow.read(min(PIECE, SIZE - len(body)))
            time.sleep(PAUSE)
        assert body == data
        assert time.monotonic() - began > 4 * STALL
