"""Bugs put into a copy of the server, one at a time, each of which a test here must find: `planted_bugs.py [WORD]`."""

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Bug:
    """What is put in place of what, and the tests that must find it."""

    name: str
    file: str
    old: str
    new: str
    tests: str = "test_crashes.py"
    more: tuple[tuple[str, str], ...] = ()
    only: str = ""


BUGS = (
    Bug("no sync at the end of a body", "server/receive.py", "if synced and position > noted:", "if False:"),
    Bug("no sync in the middle of a body", "server/receive.py", "                if synced:\n", "                if False:\n"),
    Bug(
        "record before bytes",
        "server/receive.py",
        "                    await sink.sync()\n                await note(position)",
        "                    await note(position)\n                await sink.sync()",
    ),
    Bug("event before record", "server/ledger.py", "saved = await self._state.save(upload, durable=durable)",
        "await self._tell(upload)\n        saved = await self._state.save(upload, durable=durable)"),
    Bug("folder not synced after creation", "storage/disk.py", "                self._sync_folder(path.parent)  # also", "                pass  # also"),
    Bug("folder not synced where the file is there", "storage/disk.py", "        if at:\n", "        if at or path.exists():\n"),
    Bug("folder not synced after publishing", "storage/disk.py", "        self._sync_folder(final.parent)\n        self._sync_folder(unfinished.parent)", "        pass"),
    Bug("names above the data folder not synced", "storage/disk.py", "for folder in self._root.parents:", "for folder in ():"),
    Bug("second name of a torn rename kept", "storage/disk.py", "final.unlink()  #", "pass  #"),
    Bug("not judged", "server/finish.py", "            rules.judge(upload, sha256)\n", "", only="wrong"),
    Bug(
        "published before judged",
        "server/finish.py",
        "            rules.judge(upload, sha256)\n",
        "            place = await self._blobs.seal(place, upload.offset)\n            rules.judge(upload, sha256)\n", only="wrong"),
    Bug("joined bytes not synced", "storage/disk.py", "            await sink.sync()  # here", "            self.spared = True  # here",
        more=(("                os.fsync(fd)\n        finally", "                None if hasattr(self, \"spared\") else os.fsync(fd)\n        finally"),), only="joined"),
    Bug("no sync while publishing", "storage/disk.py", "                os.fsync(fd)\n        finally", "                pass\n        finally", only="longer"),
    Bug("relaxed records are not told apart", "server/ledger.py", "if rules.is_lost(upload, self._boot):", "if False:", only="process"),
    Bug("silent uploads settled without a sync", "server/ledger.py", "                await self.storage.blobs.sync(upload.place)\n", "                pass\n", only="process"),
    Bug("a relaxed part completed without a sync", "server/finish.py", "                await self._blobs.sync(place)  #", "                pass  #", only="process"),
    Bug("a short write taken for a whole one", "storage/disk.py", "        rest, at = rest[count:], at + count", "        rest, at = rest[len(rest) :], at + count", "test_errors.py"),
    Bug(
        "a failed sync tried again",
        "storage/disk.py",
        "            await self._sync(self.fd)\n",
        "            try:\n                await self._sync(self.fd)\n            except OSError:\n                await self._sync(self.fd)\n",
        "test_errors.py",
    ),
    Bug("a failed sync trusted when settling", "storage/disk.py", "raise Missing(f\"{path.name} can't", "raise Unreachable(f\"{path.name} can't", "test_errors.py"),
    Bug("descriptor lost by a cancelled opening", "storage/disk.py", "os.close(opening.result())", "pass", "test_errors.py"),
    Bug("the sweep ends at the first fault", "server/engine.py", "            except StorageError as fault:  #", "            except ZeroDivisionError as fault:  #", "test_errors.py"),
    Bug("a stale tail published", "storage/disk.py", "            os.ftruncate(fd, length)\n", "", only="longer"),
    Bug("a wrong body kept", "server/engine.py", "                check_body(body, licence, summed)\n", "                pass\n", "test_model.py"),
    Bug("a wrong offset taken", "protocol/rules.py", "if wish.offset != upload.offset:", "if wish.offset < upload.offset:", "test_model.py"),
    Bug("expired uploads served", "protocol/rules.py", "    if is_expired(upload, now):\n        raise", "    if False:\n        raise", "test_model.py"),
    Bug("nobody asked to give way", "storage/leases.py", "        seat.on_rival()\n", "", "test_model.py"),
    Bug("no lease", "storage/leases.py", "        seat = self._seats.get(id)\n        if seat is None:", "        seat = None\n        if seat is None:", "test_duels.py"),
    Bug("the offset read before the lease", "server/engine.py", "rules.append(recorded, wish,", "rules.append(replace(recorded, offset=wish.offset), wish,", "test_duels.py"),
)  # fmt: skip


def found(bug: Bug) -> bool:
    """Put a bug into a copy, and tell whether a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "onward"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".*_cache")
        )
        source = (copy / bug.file).read_text()
        for old, new in ((bug.old, bug.new), *bug.more):
            assert source.count(old) == 1, f"{bug.name}: {bug.file} has {old!r} {source.count(old)} times"
            source = source.replace(old, new)
        (copy / bug.file).write_text(source)
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            f"tests/faults/{bug.tests}",
            f"-k={bug.only}",
        ]
        if bug.tests == "test_model.py":  # which would make the failure smaller for minutes
            words = [
                sys.executable,
                "tests/faults/by_hand.py",
                "model",
                "--runs=300",
                "--steps=60",
                "--seed=1",
                "--plain",
            ]
        ran = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False, timeout=300)
        assert ran.returncode in (0, 1), ran.stdout
        return ran.returncode == 1


def main() -> int:
    """Plant all, or those with a word in their name."""
    missed = []
    for bug in BUGS:
        if not any(word in bug.name for word in sys.argv[1:] or [""]):
            continue
        began = time.monotonic()
        if not found(bug):
            missed.append(bug.name)
        print(
            f"{'MISSED' if bug.name in missed else 'found'}: {bug.name} ({bug.tests}, {time.monotonic() - began:.0f} s)",
            flush=True,
        )
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
