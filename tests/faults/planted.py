"""Plants known bugs into a copy of the tree, one at a time, and runs the test that has to catch each.

`python tests/faults/planted.py` prints a table; it fails where a bug is missed, or can't be planted any more.
Letters after the name choose some of them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180  # seconds that a test may take
AT_ONCE = 2
KILL = "tests/faults/test_kill.py::test_no_told_byte_is_lost_by_kill_9[full] --cycles=300 --seed=1"
ORDER = "tests/faults/test_order.py::test_data_are_synced_before_they_are_recorded_and_that_before_it_is_told"
SINGLE = "tests/faults/test_single_faults.py"


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of a file, and the test that must not like it."""

    letter: str
    title: str
    file: str
    right: str
    wrong: str
    test: str


BUGS = (
    Bug(
        "a", "no fdatasync", "server/receive.py",
        "    if synced and position > noted:\n        await sink.sync()\n",
        "",
        ORDER,
    ),
    Bug(
        "b", "no sync of the folders after publishing", "storage/disk.py",
        "        self._sync_folder(final.parent)\n        self._sync_folder(unfinished.parent)\n",
        "",
        ORDER,
    ),
    Bug(
        "c", "204 before the commit", "storage/sqlite.py",
        "        await self._do(work, durable=durable)\n",
        "        asyncio.ensure_future(self._do(work, durable=durable))\n",
        ORDER,
    ),
    Bug(
        "d", "record before data", "server/receive.py",
        "                await flight.land()\n"
        "                if synced:\n                    await sink.sync()\n"
        "                await note(position)\n",
        "                await note(position)\n"
        "                await flight.land()\n"
        "                if synced:\n                    await sink.sync()\n",
        ORDER,
    ),
    Bug(
        "e", "HEAD tells the size of the file", "server/engine.py",
        "            async with self._held(id, lambda: None) as upload:\n                pass\n",
        "            async with self._held(id, lambda: None) as upload:\n"
        "                file = self._storage.blobs._root / upload.place\n"
        "                if not upload.status.final and file.exists():\n"
        "                    upload = replace(upload, offset=file.stat().st_size)\n",
        KILL,
    ),
    Bug(
        "f", "no check of the epoch", "storage/sqlite.py",
        "if not self._leases.proves(upload.id, upload.epoch):",
        "if False:",
        "tests/storage/test_state_contract.py::test_a_save_without_the_lease_is_stale",
    ),
    Bug(
        "g", "a lease released by a bare DEL", "storage/redis_scripts.py",
        "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end\nreturn redis.call('DEL', KEYS[2])",
        "return redis.call('DEL', KEYS[2])",
        f"{SINGLE}::test_a_late_release_leaves_the_lease_of_another_alone",
    ),
    Bug(
        "h", "published before verified", "server/finish.py",
        "            rules.judge(upload, sha256)\n"
        '            reach("judged")\n'
        "            if upload.role is not Role.PARTIAL:\n"
        "                place = await self._blobs.seal(place, upload.offset)\n",
        "            if upload.role is not Role.PARTIAL:\n"
        "                place = await self._blobs.seal(place, upload.offset)\n"
        "                rules.judge(upload, sha256)\n",
        KILL,
    ),
    Bug(
        "i", "written through a buffer of the process", "storage/disk.py",
        "            await _run(self._pool, _write_all, self.fd, block, at)\n",
        '            self._file = getattr(self, "_file", None) or os.fdopen(os.dup(self.fd), "r+b")\n'
        "            self._file.seek(at)\n"
        "            self._file.write(block)\n",
        KILL,
    ),
    Bug(
        "j", "numbers read by int()", "protocol/headers.py",
        "    if not _INTEGER.fullmatch(value) or int(value) > MAX_INTEGER:",
        "    try:\n        number = int(value)\n"
        "    except ValueError:\n        number = -1\n"
        "    if not 0 <= number <= MAX_INTEGER:",
        "tests/protocol/test_headers.py::test_what_is_no_integer_is_refused",
    ),
    Bug(
        "k", "what lies behind the end is not cut off", "storage/disk.py",
        "            os.ftruncate(fd, length)\n",
        "",
        "tests/storage/test_blobs_contract.py::test_a_seal_publishes_exactly_the_length_and_may_be_repeated",
    ),
    Bug(
        "l", "event before the commit", "server/ledger.py",
        "        saved = await self._state.save(upload, durable=durable)\n",
        "        await self._tell(replace(upload, version=upload.version + 1))\n"
        "        saved = await self._state.save(upload, durable=durable)\n",
        "tests/faults/test_order.py::test_a_watcher_is_told_only_what_a_synced_record_holds",
    ),
    Bug(
        "m", "O_APPEND", "storage/disk.py",
        "    fd = os.open(path, flags | os.O_NOFOLLOW",
        "    fd = os.open(path, flags | (os.O_APPEND if flags & os.O_RDWR else 0) | os.O_NOFOLLOW",
        "tests/storage/test_blobs_contract.py::test_bytes_lie_where_they_were_written",
    ),
    Bug(
        "n", "a short write taken for a whole one", "storage/disk.py",
        "    while rest:\n        count = os.pwrite(fd, rest, at)\n        rest, at = rest[count:], at + count\n",
        "    os.pwrite(fd, rest, at)\n",
        "tests/storage/test_disk.py::test_a_short_write_is_finished",
    ),
    Bug(
        "o", "a failed sync tried again and trusted", "storage/disk.py",
        "        with _mapped():\n            await self._sync(self.fd)\n",
        "        try:\n            await self._sync(self.fd)\n"
        "        except OSError:\n            await self._sync(self.fd)\n",
        f"{SINGLE}::test_a_failed_sync_is_never_tried_again_and_trusted",
    ),
    Bug(
        "p", "published before verifying is recorded", "server/engine.py",
        "        upload = await self.ledger.save(ended)\n        if upload.status is Status.VERIFYING:\n",
        "        upload = ended if ended.status is Status.VERIFYING else await self.ledger.save(ended)\n"
        "        if upload.status is Status.VERIFYING:\n",
        KILL,
    ),
)  # fmt: skip


def verdict(bug: Bug, tree: Path) -> tuple[str, str]:
    """Plant a bug, run its test, and take the bug away again; gives what came of it, and why."""
    path = tree / bug.file
    source = path.read_text()
    if source.count(bug.right) != 1:
        return "NOT PLANTED", f"{bug.file} has changed"
    path.write_text(source.replace(bug.right, bug.wrong))
    words = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
    try:
        run = subprocess.run(
            [*words, *bug.test.split()], cwd=tree, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    finally:
        path.write_text(source)
    why = re.findall(r"^E +(\S.*)$", run.stdout, re.MULTILINE)
    if run.returncode == 1 and why:
        return "caught", why[0]
    return ("MISSED" if run.returncode == 0 else "BROKEN"), run.stdout.strip().rpartition("\n")[2]


def main(letters: str) -> int:
    """Try the bugs and print the table."""
    bugs = [bug for bug in BUGS if not letters or bug.letter in letters]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            tree = Path(folder) / str(number) / "tree"
            shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules"))
            trees.put(tree)

        def attempt(bug: Bug) -> bool:
            tree, began = trees.get(), time.monotonic()
            try:
                came, why = verdict(bug, tree)
            finally:
                trees.put(tree)
            name = bug.test.partition(" ")[0].rpartition("/")[2]
            print(f"({bug.letter}) {bug.title:40} {came:11} {time.monotonic() - began:5.1f} s  {name}: {why[:90]}")
            return came == "caught"

        caught = sum(pool.map(attempt, bugs))
    print(f"{caught} of {len(bugs)} caught")
    return 0 if caught == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:])))
