"""What a crash, a rival, or a fault of a disk must not spoil. Simulations found most of these."""

from bugs.bug import Bug

MODEL = "tests/faults/by_hand.py model --runs=300 --steps=60 --seed=1 --plain"

BUGS = (
    Bug(
        "1", "no sync at the end of a body", "server/uploads/receive.py",
        "noted = await timed(writer.sync(ended=True))",
        "noted = body_writer.position",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "2", "no sync in the middle of a body", "server/uploads/receive.py",
        "(durable := min(await timed(writer.sync()), position)) > noted:",
        "(durable := position) > noted:",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "3", "record before bytes", "server/uploads/receive.py",
        "        if licence.checksum is None and (durable := min(await timed(writer.sync()), position)) > noted:\n"
        "            await note(durable, writer)\n            noted = durable\n",
        "        if licence.checksum is None:\n"
        "            await note(position, writer)\n            noted = await timed(writer.sync())\n",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "4", "folder not synced after creation", "storage/blobs/disk.py",
        "                self._sync_folder(path.parent)  # also",
        "                pass  # also",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "5", "folder not synced where the file is there", "storage/blobs/disk.py",
        "        if at:\n",
        "        if at or path.exists():\n",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "6", "folder not synced after publishing", "storage/blobs/publishing.py",
        "        self._sync_folder(final.parent)\n        self._sync_folder(unfinished.parent)",
        "        pass",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "7", "names above the data folder not synced", "storage/blobs/folders.py",
        "for folder in root.parents:",
        "for folder in ():",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "8", "second name of a torn rename kept", "storage/blobs/disk.py",
        "final.unlink()  #",
        "pass  #",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "9", "not judged", "server/uploads/completion.py",
        "            decisions.judge(upload, sha256)\n",
        "",
        "tests/faults/test_crashes.py -k=wrong",
    ),
    Bug(
        "10", "published before judged", "server/uploads/completion.py",
        "            decisions.judge(upload, sha256)\n",
        "            upload = await self._publishing.seal(\n"
        "                records, replace(upload, sha256=sha256), interrupt, acknowledged=False, content_type=None\n            )\n"
        "            decisions.judge(upload, sha256)\n",
        "tests/faults/test_crashes.py -k=wrong",
    ),
    Bug(
        "11", "joined bytes not synced", "storage/blobs/disk.py",
        "                await self._sync_file(target)\n",
        "                self._publishing._synced = False\n",
        "tests/faults/test_crashes.py -k=joined",
    ),
    Bug(
        "12", "no sync while publishing", "storage/blobs/publishing.py",
        "        os.fchmod(fd, self._mode)\n        if self._synced:\n            os.fsync(fd)\n",
        "        os.fchmod(fd, self._mode)\n",
        "tests/faults/test_crashes.py -k=longer",
    ),
    Bug(
        "13", "relaxed records are not told apart", "server/uploads/records.py",
        "if decisions.is_lost(upload, self._boot):",
        "if False:",
        "tests/faults/test_crashes.py -k=process",
    ),
    Bug(
        "14", "silent uploads settled without a sync", "server/uploads/records.py",
        "                await look_twice(lambda: self.measures.time(SYNC, self.storage.blobs.sync(upload.place)))\n",
        "                pass\n",
        "tests/faults/test_crashes.py -k=process",
    ),
    Bug(
        "15", "a relaxed part completed without a sync", "server/uploads/completion.py",
        "                await look_twice(partial(self._blobs.sync, upload.place))\n",
        "                pass\n",
        "tests/faults/test_crashes.py -k=process",
    ),
    Bug(
        "18", "a failed sync trusted when settling", "storage/blobs/disk.py",
        'raise Missing(f"{path.name} can\'t',
        'raise Unreachable(f"{path.name} can\'t',
        "tests/faults/test_errors.py",
    ),
    Bug(
        "19", "descriptor lost by a cancelled opening", "storage/blobs/files.py",
        "os.close(answer.result())",
        "pass",
        "tests/faults/test_errors.py",
    ),
    Bug(
        "20", "the sweep ends at the first fault", "server/uploads/sweep.py",
        "        except (StorageError, Refusal) as fault:",
        "        except ZeroDivisionError as fault:",
        "tests/server/test_sweep.py -k=damaged",
    ),
    Bug(
        "21", "a stale tail published", "storage/blobs/publishing.py",
        "            os.ftruncate(fd, length)\n",
        "",
        "tests/faults/test_crashes.py -k=longer",
    ),
    Bug(
        "22", "a wrong body kept", "server/uploads/bodies.py",
        "                check_body(body, licence, summed)\n",
        "                pass\n",
        MODEL,
    ),
    Bug(
        "23", "a wrong offset taken", "protocol/decisions.py",
        "if request.offset != upload.offset:",
        "if request.offset < upload.offset:",
        MODEL,
    ),
    Bug(
        "24", "expired uploads served", "protocol/decisions.py",
        "    if is_expired(upload, now):\n        raise",
        "    if False:\n        raise",
        MODEL,
    ),
    Bug(
        "25", "nobody asked to give way", "storage/state/leases.py",
        "            seat.on_rival()\n            async with",
        "            async with",
        MODEL,
    ),
    Bug(
        "26", "no lease", "storage/state/leases.py",
        "        seat = self._seats.get(id)\n        if seat is None:",
        "        seat = None\n        if seat is None:",
        "tests/faults/test_duels.py",
    ),
    Bug(
        "27", "the offset read before the lease", "server/uploads/engine.py",
        "decisions.append(recorded, request,",
        "decisions.append(replace(recorded, offset=request.offset), request,",
        "tests/faults/test_duels.py",
    ),
    Bug(
        "28", "an ended record names a memory", "protocol/lifecycle.py",
        "        changes |= _ENDED\n",
        "        pass\n",
        "tests/server/test_durability.py",
    ),
    Bug(
        "29", "a clock that is set expires uploads", "server/uploads/records.py",
        "        if upload.due is None or not (by := self.clock.set_since(upload.updated, now)):\n            return upload\n",
        "        if not (by := 0.0):\n            return upload\n",
        MODEL,
    ),
    Bug(
        "30", "a stop forgets what a killed process has left", "server/uploads/records.py",
        "            await self._find_left()\n",
        "            pass\n",
        "tests/server/test_durability.py",
    ),
    Bug(
        "31", "a copy published before it is synced", "storage/blobs/publishing.py",
        "                    protected = await self._slow.call(protect, target)\n",
        "                    protected = await self._slow.call(os.fchmod, target, 0o440)  # type: ignore[func-returns-value]\n",
        "tests/faults/test_crashes.py -k=apart",
    ),
    Bug(
        "32", "removed before the name of the copy is durable", "storage/blobs/publishing.py",
        "        self._sync_folder(final.parent)\n        if not holds():",
        "        if not holds():",
        "tests/faults/test_crashes.py -k=apart",
    ),
    Bug(
        "33", "a copy made under its final name", "storage/blobs/publishing.py",
        '        fresh = final.with_name(f".{final.name}-{secrets.token_hex(4)}")\n',
        "        fresh = final\n",
        "tests/faults/test_crashes.py -k=apart",
    ),
    Bug(
        "34", "a folder without permission taken for lost bytes", "storage/blobs/disk.py",
        "            if not exists(path):  # it is the folder",
        "            if False:  # it is the folder",
        "tests/faults/test_errors.py",
    ),
    Bug(
        "35", "a path that can't be looked at taken for an empty one", "storage/blobs/files.py",
        "    except FileNotFoundError:\n        return False\n    return True\n",
        "    except OSError:\n        return False\n    return True\n",
        "tests/storage/test_disk.py -k=missing",
    ),
    Bug(
        "36", "bytes under a mount point taken for all there are", "storage/blobs/folders.py",
        "            if not same:\n",
        "            if False:\n",
        "tests/faults/test_folders.py -k=mounted",
    ),
    Bug(
        "37", "a body that is not recorded on the way claims no room", "server/uploads/receive.py",
        "                await check_room()\n",
        "                if licence.checksum is None:\n                    await check_room()\n",
        "tests/server/test_reserve.py -k=checksum",
    ),
    Bug(
        "38", "stored bytes that are not recorded yet count twice", "server/uploads/reserve.py",
        "                claim.count()\n",
        "                pass\n",
        "tests/server/test_reserve.py -k=count_once",
    ),
    Bug(
        "39", "bytes that no record has keep their room", "server/uploads/bodies.py",
        "            if not await self._trim(upload):\n",
        "            if True:\n",
        "tests/server/test_reserve.py -k=come_again",
    ),
)  # fmt: skip
