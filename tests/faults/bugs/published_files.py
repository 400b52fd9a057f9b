"""Bugs of finished files in a bucket."""

from bugs.bug import Bug

STORE, FAULTS = "storage/blobs/published/store.py", "tests/server/test_publish_faults.py"

BUGS = (
    Bug(
        "b1", "published twice after a crash", STORE,
        "        name = None if first_try else await self._published(staged, length)\n",
        "        name = None\n",
        f"{FAULTS} -k=publishes_nothing_again",
    ),
    Bug(
        "b2", "the local file is removed before its object is proved to be there", STORE,
        '                reach("put")\n',
        "                await self._local.remove(place)\n",
        f"{FAULTS} -k=lies",
    ),
    Bug(
        "b3", "an upload is told completed before its object is there", STORE,
        '                raise Unreachable("the bucket does not have what was stored there")\n',
        "                return name\n",
        f"{FAULTS} -k=lies",
    ),
    Bug(
        "b4", "an object of somebody else is overwritten", "storage/blobs/published/s3.py",
        '                MultipartUpload={"Parts": parts},\n                IfNoneMatch="*",\n',
        '                MultipartUpload={"Parts": parts},\n',
        f"{FAULTS} -k=appears_meanwhile",
    ),
    Bug(
        "b5", "an object of somebody else counts as published", STORE,
        "    if found is None or found.owner != id:\n        return False\n    if (length",
        "    if found is None:\n        return False\n    if not found.owner:\n        return True\n    if (length",
        "tests/server/test_publish.py -k=overwritten",
    ),
    Bug(
        "b6", "bytes that have changed since are published", "storage/blobs/published/bucket.py",
        "        if self._about.sha256 and self._sha256.digest() != self._about.sha256:\n",
        "        if not self._about.sha256:\n",
        f"{FAULTS} -k=change_after",
    ),
    Bug(
        "b7", "a bucket that is away fails the upload", "server/uploads/publishing.py",
        "            raise NotYet(PAUSE, str(fault)) from fault\n",
        "            raise Missing(str(fault)) from fault\n",
        f"{FAULTS} -k=away",
        (("import About, Full, StorageError", "import About, Full, Missing, StorageError"),),
    ),
)  # fmt: skip
