"""A data folder whose finished files have paths that layouts have made, and what may lie in it after any kill."""

import hashlib
import re
import sqlite3
from contextlib import closing, suppress

from late_sweep import tidied
from upload_history import Folder

from onward.protocol.model import ID_PATTERN, Role, Status, Upload
from onward.storage.blobs.places import is_own, parts, published_at
from onward.storage.codec import decode


class LayoutFolder(Folder):
    """Each visible file belongs to exactly one record, which names it, and has the bytes of that upload."""

    def records(self) -> list[Upload]:
        """Return all records of the state, while no server runs."""
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(self.path / "state.sqlite")) as connection:
            return [decode(row[0]) for row in connection.execute("SELECT document FROM uploads")]
        return []  # killed before it had made the table

    def check_at_rest(self) -> None:
        """Check what lies in the folder while no server runs."""
        root = self.path / "files"
        left = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file() and file.name[0] != "."}
        sent = {upload.name: upload for upload in self.uploads}
        for record in self.records():
            path = self._path_of(record)
            if path is None:
                continue
            assert path in left, f"{record.id} has {path}, which is not there or belongs to another upload as well"
            left.remove(path)
            data = (root / path).read_bytes()
            self.verified += len(data)
            assert (root / path).stat().st_mode & 0o777 == 0o440
            assert record.sha256 in (None, hashlib.sha256(data).digest()), f"files/{path} has other bytes"
            if (upload := sent.get(record.id)) is not None and not upload.may_be_gone:
                assert data == upload.data, f"files/{path} is not what was sent"
        unrecorded = self._unrecorded(left)
        assert left == unrecorded, f"files without a record: {left - unrecorded}"
        for upload in self.uploads:
            if upload.completed and not upload.may_be_gone and upload.role != "partial":
                record = next(each for each in self.records() if each.id == upload.name)
                assert record.status is Status.COMPLETED

    def _unrecorded(self, names: set[str]) -> set[str]:
        """Give those of the files that the kill of a short upload may leave: published and marked, without a record.

        Such a file has its id for a name, its mark partial/ID is the same file, and a client has sent its bytes.
        """
        found, recorded = set(), {record.id for record in self.records()}
        for name in names - recorded:
            file, mark = self.path / "files" / name, self.path / "partial" / name
            if re.fullmatch(ID_PATTERN, name) and mark.is_file() and mark.samefile(file):
                assert hashlib.sha256(file.read_bytes()).digest() in self.allowed, f"files/{name} is unverified"
                found.add(name)
        return found

    async def tidy(self) -> int:
        """Clean up as a server does once all is an hour old; gives how many files without a record there were before.

        Afterwards there is none, and no mark of a file either.
        """
        before = len(self._marked() - {record.id for record in self.records()})
        await tidied(self.path)
        assert not self._marked(), "the clean-up has left marked files"
        self.check_at_rest()
        return before

    def _marked(self) -> set[str]:
        marks = (self.path / "partial").iterdir()
        return {
            mark.name for mark in marks if (file := self.path / "files" / mark.name).exists() and mark.samefile(file)
        }

    def _path_of(self, record: Upload) -> str | None:
        """Return where the published file of an upload is; None if it is not published, or may have been removed."""
        place, root = parts(record.place), self.path / "files"
        if record.role is Role.PARTIAL:
            return None
        if record.status is Status.COMPLETED:
            assert record.path is not None
            assert not place.token or is_own(root / record.path, place.token)
            return record.path
        if place.path:
            return published_at(root, place)  # published, and not recorded
        path = record.path or record.id  # ended, and not removed yet
        return path if (root / path).exists() and (not place.token or is_own(root / path, place.token)) else None
