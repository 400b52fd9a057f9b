"""Bugs of object storage."""

from bugs.bug import Bug

S3 = "tests/storage/test_s3.py"
FEATURES = "tests/server/test_s3_features.py"

BUGS = (
    Bug(
        "o1", "a tail removed before its bytes are stored elsewhere", "storage/blobs/s3/store.py",
        "            known = replace(known, superseded=())\n",
        "            known = replace(known, superseded=())\n"
        "        if spot.tail:\n            self._garbage.add(tail_key(spot, spot.tail.name))\n",
        f"{S3} -k=recorded_tail",
    ),
    Bug(
        "o2", "all parts that S3 lists are used", "storage/blobs/s3/publishing.py",
        "    return parts\n",
        "    return [{'PartNumber': number, 'ETag': etag} for number, (_, etag) in etags.items()]\n",
        f"{S3} -k=died",
    ),
    Bug(
        "o3", "a part that failed is skipped", "storage/blobs/s3/writer.py",
        "        except StorageError as fault:\n            self._fault = fault\n        except Exception",
        "        except StorageError as fault:\n            self._durable += 5 * MIB\n        except Exception",
        "tests/faults/test_s3_faults.py -k=gap",
    ),
    Bug(
        "o4", "an offset is told before its bytes are stored", "storage/blobs/s3/writer.py",
        "        return self._durable\n\n    async def close",
        "        return self._end\n\n    async def close",
        "tests/storage/test_blobs_contract.py -k=durable",
    ),
    Bug(
        "o5", "a number is used again that may be on its way", "storage/blobs/s3/writer.py",
        "    return highest + 2\n",
        "    return highest + 1\n",
        f"{S3} -k=died",
    ),
    Bug(
        "o6", "published over another file", "storage/blobs/s3/publishing.py",
        "await client.store(key, blocks, owner=spot.id, about=file.about, absent=True)",
        "await client.store(key, blocks, owner=spot.id, about=file.about)",
        "tests/storage/test_blobs_contract.py -k=overwritten",
    ),
    Bug(
        "o7", "parts are not compared with the record", "storage/blobs/s3/publishing.py",
        "    if check != spot.check:\n",
        "    if not etags:\n",
        f"{S3} -k=changed",
    ),
    Bug(
        "o8", "a fenced place keeps its part number", "storage/blobs/s3/store.py",
        "        return replace(spot, number=number).place()\n",
        "        self._cache.put(place, CachedPlace(number=spot.number))\n        return place\n",
        f"{S3} -k=late",
        (("import PlaceCache", "import CachedPlace, PlaceCache"),),
    ),
    Bug(
        "o9", "the sweep removes what a record needs", "storage/blobs/s3/leftovers.py",
        "            if not done and spot.tail and spot.tail.name == left.tail.name:\n",
        "            if done:\n",
        f"{S3} -k=crash",
    ),
    Bug(
        "o10", "an object of another upload counts as its own", "storage/blobs/s3/publishing.py",
        "    if found is None or found.owner != id:\n",
        "    if found is None:\n",
        "tests/storage/test_blobs_contract.py -k=overwritten",
    ),
    Bug(
        "o11", "the sweep takes any key for that of an upload", "storage/blobs/s3/leftovers.py",
        "    if not re.fullmatch(ID_PATTERN, path):\n",
        "    path = path.rpartition('/')[2]\n    if not path:\n",
        f"{S3} -k=interrupted",
    ),
    Bug(
        "o12", "a file under its former key waits to be removed", "storage/blobs/s3/store.py",
        "            await remove_keys(self._client, [whole_key(spot)])  # now",
        "            self._garbage.add(whole_key(spot))  # now",
        f"{S3} -k=layout_that_is_given_later",
    ),
    Bug(
        "o13", "bytes count as lost without a bucket", "storage/blobs/s3/store.py",
        "            await self._client.find_bucket()\n",
        "",
        f"{S3} -k=not_there",
    ),
    Bug(
        "o14", "an object says no SHA-256", "storage/blobs/s3/object_headers.py",
        "        told[\"Metadata\"][SHA256] = about.sha256.hex()\n",
        "        pass\n",
        f"{FEATURES} -k=object_says",
    ),
    Bug(
        "o15", "an object says no media type", "storage/blobs/s3/object_headers.py",
        "    if about.content_type:\n",
        "    if False:\n",
        f"{FEATURES} -k=object_says",
    ),
    Bug(
        "o16", "an object says its file name without its letters beyond ASCII", "storage/blobs/s3/object_headers.py",
        "build_disposition(\"attachment\", about.file_name)",
        "build_disposition(\"attachment\", about.file_name.encode(\"ascii\", \"replace\").decode())",
        f"{FEATURES} -k=redirect_leads",
    ),
    Bug(
        "o17", "an object that is sent in one request says less than one in parts", "storage/blobs/s3/object_headers.py",
        "    return lines | {line: told[name] for name, line in _LINES.items() if name in told}\n",
        "    return lines\n",
        f"{FEATURES} -k=object_says",
    ),
    Bug(
        "o18", "an object that is copied says nothing", "storage/blobs/s3/compose.py",
        "**object_params(owner, about))\n",
        "**object_params(owner, NOTHING_SAID))\n",
        f"{FEATURES} -k=object_says",
    ),
    Bug(
        "o19", "a multipart object says nothing", "storage/blobs/s3/writer.py",
        "self._about() if spot.direct else NOTHING_SAID",
        "NOTHING_SAID",
        f"{FEATURES} -k=object_says",
    ),
)  # fmt: skip
