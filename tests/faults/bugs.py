"""Known bugs: what is put in place of what, and the test that must not like it.

The letters are those of the usual list of such servers' faults; the numbers were found by simulations here.
"""

from dataclasses import dataclass

KILL = "tests/faults/test_kill.py::test_no_acknowledged_byte_is_lost_by_kill_9[full] --cycles=300 --seed=1"
ORDER = "tests/faults/test_order.py::test_data_are_synced_before_they_are_recorded_and_recorded_before_the_event"
SINGLE = "tests/faults/test_single_faults.py"
MOVING = "tests/server/test_moving_places.py"
LAID = (
    "tests/faults/test_kill.py::test_a_file_has_one_path_and_its_own_bytes_after_any_kill_9[together]"
    " --cycles=1000 --seed=1"
)
QUOTAS = "tests/storage/test_quotas_contract.py"
REDIS_QUOTAS = "tests/storage/test_redis_quotas.py"
MODEL = "tests/faults/by_hand.py model --runs=300 --steps=60 --seed=1 --plain"


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of a file, and the test that must not like it."""

    sign: str
    title: str
    file: str
    right: str
    wrong: str
    test: str
    more: tuple[tuple[str, str], ...] = ()


BUGS = (
    Bug(
        "a", "no fdatasync", "server/uploads/receive.py",
        "    if body_writer.position > noted:\n        noted = await writer.sync(ended=True)\n    return noted\n",
        "    return body_writer.position\n",
        ORDER,
    ),
    Bug(
        "b", "no sync of the folders after publishing", "storage/blobs/publishing.py",
        "        self._sync_folder(final.parent)\n        self._sync_folder(unfinished.parent)\n",
        "",
        ORDER,
    ),
    Bug(
        "c", "204 before the commit", "storage/state/sqlite.py",
        "            await self._do(work, durable=durable)\n        except",
        "            asyncio.ensure_future(self._do(work, durable=durable))\n        except",
        ORDER,
    ),
    Bug(
        "d", "record before data", "server/uploads/body_writer.py",
        "        self._write(block, self.position)\n",
        '        __import__("threading").Timer(0.2, self._write, (bytes(block), self.position)).start()\n',
        ORDER,
    ),
    Bug(
        "e", "HEAD tells the size of the file", "server/uploads/engine.py",
        "        decisions.check_open(upload, self._clock())\n        return upload\n\n    async def append",
        "        file = self._storage.blobs._root / upload.place\n"
        "        if not upload.status.final and file.exists():\n"
        "            upload = replace(upload, offset=file.stat().st_size)\n"
        "        decisions.check_open(upload, self._clock())\n        return upload\n\n    async def append",
        KILL,
    ),
    Bug(
        "f", "no check of the epoch", "storage/state/sqlite.py",
        "if not self._leases.proves(upload.id, upload.epoch):",
        "if False:",
        "tests/storage/test_state_contract.py::test_a_save_without_the_lease_is_stale",
    ),
    Bug(
        "g", "a lease released by a bare DEL", "storage/state/redis/scripts.py",
        "if holder and holder ~= ARGV[1] then return 0 end\nif known",
        "if known",
        f"{SINGLE}::test_a_late_release_leaves_the_lease_of_another_alone",
    ),
    Bug(
        "h", "published before verified", "server/uploads/completion.py",
        "            decisions.judge(upload, sha256)\n",
        "            if upload.role is not Role.PARTIAL:\n"
        "                place = await self._blobs.seal(place, upload.offset)\n"
        "            decisions.judge(upload, sha256)\n",
        KILL,
    ),
    Bug(
        "i", "written through a buffer of the process", "storage/blobs/file_writer.py",
        "            write_all(fd, block, at)\n",
        '            self._file = getattr(self, "_file", None) or __import__("os").fdopen(__import__("os").dup(fd), "r+b")\n'
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
        "k", "what lies behind the end is not cut off", "storage/blobs/publishing.py",
        "            os.ftruncate(fd, length)\n",
        "",
        "tests/storage/test_blobs_contract.py::test_a_seal_publishes_exactly_the_length_and_may_be_repeated",
    ),
    Bug(
        "l", "event before the commit", "storage/state/sqlite.py",
        "        try:\n            await self._do(work, durable=durable)\n",
        "        self._notify(saved)\n        try:\n            await self._do(work, durable=durable)\n",
        "tests/faults/test_order.py::test_a_watcher_gets_only_what_a_synced_record_holds",
    ),
    Bug(
        "m", "O_APPEND", "storage/blobs/files.py",
        "    fd = os.open(path, flags | os.O_NOFOLLOW",
        "    fd = os.open(path, flags | (os.O_APPEND if flags & os.O_RDWR else 0) | os.O_NOFOLLOW",
        "tests/storage/test_blobs_contract.py::test_bytes_lie_where_they_were_written",
    ),
    Bug(
        "n", "a short write taken for a whole one", "storage/blobs/files.py",
        "    while rest:\n        count = os.pwrite(fd, rest, at)\n        rest, at = rest[count:], at + count\n",
        "    os.pwrite(fd, rest, at)\n",
        "tests/storage/test_disk.py::test_a_short_write_is_finished",
    ),
    Bug(
        "o", "a failed sync tried again and trusted", "storage/blobs/file_writer.py",
        "            with mapped():\n                await self._sync(self.fd)\n",
        "            try:\n                await self._sync(self.fd)\n"
        "            except OSError:\n                await self._sync(self.fd)\n",
        f"{SINGLE}::test_a_failed_sync_is_never_tried_again_and_trusted",
    ),
    Bug(
        "p", "published before verifying is recorded", "server/uploads/body_records.py",
        "        return await self._records.save(ended)\n",
        "        return ended if ended.status is Status.VERIFYING else await self._records.save(ended)\n",
        KILL,
    ),
    Bug(
        "1", "no sync at the end of a body", "server/uploads/receive.py",
        "noted = await writer.sync(ended=True)",
        "noted = body_writer.position",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "2", "no sync in the middle of a body", "server/uploads/receive.py",
        "(durable := await writer.sync()) > noted:",
        "(durable := body_writer.position) > noted:",
        "tests/faults/test_crashes.py",
    ),
    Bug(
        "3", "record before bytes", "server/uploads/receive.py",
        "            if licence.checksum is None and (durable := await writer.sync()) > noted:\n"
        "                await note(durable, writer)\n                noted = durable\n",
        "            if licence.checksum is None:\n"
        "                await note(body_writer.position, writer)\n                noted = await writer.sync()\n",
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
        "            place = await self._blobs.seal(place, upload.offset)\n            decisions.judge(upload, sha256)\n",
        "tests/faults/test_crashes.py -k=wrong",
    ),
    Bug(
        "c1", "published before the check", "server/uploads/completion.py",
        "                content_type = await self._checks.judge(replace(upload, sha256=sha256), interrupt, head)\n",
        "                place = await self._blobs.seal(place, upload.offset)\n"
        "                content_type = await self._checks.judge(replace(upload, sha256=sha256), interrupt, head)\n",
        "tests/faults/test_crashes.py -k=infected",
    ),
    Bug(
        "c2", "a held upload tells an offset that equals its length", "server/uploads/completion.py",
        '                raise Unchecked(KEPT, retry_after=max(ceil(left), 1))\n',
        "                return upload\n",
        "tests/faults/test_crashes.py -k=held",
    ),
    Bug(
        "c3", "an upload that a check can't judge fails", "server/uploads/completion.py",
        "            raise await self._hold(upload, sha256, later) from later\n",
        "            return await records.end(records.failed(upload, LOST, sha256))\n",
        "tests/faults/test_crashes.py -k=held",
    ),
    Bug(
        "c4", "a held upload is published without its check", "server/uploads/completion.py",
        "            if upload.role is not Role.PARTIAL:\n                content_type",
        "            if upload.role is not Role.PARTIAL and not upload.sha256:\n                content_type",
        "tests/faults/test_crashes.py -k=infected",
    ),
    Bug(
        "c5", "a held final upload is not durable", "server/uploads/completion.py",
        "                await self._blobs.sync(upload.place)  # its parts",
        "                pass  # its parts",
        "tests/server/test_held.py -k=synced",
    ),
    Bug(
        "c6", "a held final upload is joined again", "server/uploads/completion.py",
        "            sha256 = upload.sha256 or (await",
        "            sha256 = (await",
        "tests/server/test_checks.py -k=needs_its_parts_no_more",
    ),
    Bug(
        "c10", "the bytes of a held final upload are not fenced", "server/uploads/records.py",
        "joined = upload.role is Role.FINAL and upload.sha256 is None",
        "joined = upload.role is Role.FINAL",
        "tests/server/test_held.py -k=fenced",
    ),
    Bug(
        "c7", "the beginning is judged after a whole stride", "server/uploads/receive.py",
        "        most = head.lacks(body_writer.position) or stride.bytes\n",
        "        most = stride.bytes\n",
        "tests/server/test_checks.py -k=large_body_begins",
    ),
    Bug(
        "c8", "a held upload never expires", "protocol/decisions.py",
        "    if upload.status is Status.VERIFYING and upload.held_until is None:",
        "    if upload.status is Status.VERIFYING:",
        "tests/server/test_checks.py -k=expires",
    ),
    Bug(
        "c9", "a fault of a check lets the file pass", "server/uploads/checks/asking.py",
        '            raise Later(AFTER_FAULT, "a check has failed") from error\n',
        "            return\n",
        "tests/server/test_checks.py -k=breaks",
    ),
    Bug(
        "c11", "a wrong type is refused only at the end", "server/uploads/checks/types.py",
        'name, early = "types", True',
        'name, early = "types", False',
        "tests/server/test_disguised.py -k=disguised_file_is_refused_at_its_beginning",
    ),
    Bug(
        "c12", "what begins like a bitmap is one, even if it is text", "server/uploads/checks/types.py",
        "    if not _is_text(head):\n",
        "    if mime or not _is_text(head):\n",
        "tests/server/test_types.py",
    ),
    Bug(
        "c13", "a page is plain text", "server/uploads/checks/types.py",
        "else _markup(head) or TEXT",
        "else TEXT",
        "tests/server/test_types.py",
    ),
    Bug(
        "c14", "a file that clamd does not look into is clean", "server/uploads/checks/clamd.py",
        "        if content.length > self._limit:\n",
        "        if False:\n",
        "tests/server/test_clamd.py -k=above_the_limit",
    ),
    Bug(
        "c15", "a busy scanner is passed by", "server/uploads/checks/clamd.py",
        '            raise Later(RETRY_AFTER, "clamd is busy with other files") from None',
        '            raise Unanswered("clamd is busy with other files") from None',
        "tests/server/test_clamd.py -k=busy",
    ),
    Bug(
        "c16", "what clamd can't scan is clean", "server/uploads/checks/clamd.py",
        '            raise Unanswered(f"it answers {answer!r}")\n',
        "            return None\n",
        "tests/server/test_clamd.py -k=odd",
    ),
    Bug(
        "c17", "what comes after the end of an upload is scanned", "server/uploads/checks/clamd.py",
        " and os.fstat(descriptor).st_size == content.length",
        "",
        "tests/server/test_clamd.py -k=after_the_end",
    ),
    Bug(
        "c18", "a name is cut inside of its extension", "protocol/naming.py",
        "        stem, extension = split_extension(plain)\n",
        '        stem, extension = plain, ""\n',
        "tests/protocol/test_naming.py",
    ),
    Bug(
        "c19", "a name begins with a dot", "protocol/naming.py",
        'r"^[\\s.]+"',
        'r"^\\s+"',
        "tests/protocol/test_naming.py",
    ),
    Bug(
        "c20", "who lacks a check publishes what waits for it", "server/uploads/completion.py",
        " if name not in self._records.checks)",
        " if not name)",
        "tests/server/test_lacking_checks.py -k=only_who_has_the_scanner",
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
        "                await self.storage.blobs.sync(upload.place)\n",
        "                pass\n",
        "tests/faults/test_crashes.py -k=process",
    ),
    Bug(
        "15", "a relaxed part completed without a sync", "server/uploads/completion.py",
        "                await self._blobs.sync(upload.place)\n",
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
        "            await check_room()\n",
        "                await check_room()\n",
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
    Bug(
        "s1", "a place that has moved is not recorded", "server/uploads/body_records.py",
        "replace(self._records.carried(self._upload, now), place=writer.place),",
        "self._records.carried(self._upload, now),",
        f"{MOVING} -k=crash",
    ),
    Bug(
        "s2", "a written position recorded instead of the durable one", "server/uploads/receive.py",
        "                await note(durable, writer)\n",
        "                await note(body_writer.position, writer)\n",
        f"{MOVING} -k=crash",
    ),
    Bug(
        "s3", "a place that a fence has moved is not recorded", "server/uploads/records.py",
        "await self.save(replace(upload, place=place))",
        "replace(upload, place=place)",
        MOVING,
    ),
    Bug(
        "s4", "a full store is written to", "server/http/transport/socket_reader.py",
        "                if body_writer.full:\n",
        "                if False:\n",
        "tests/server/test_full_writer.py",
    ),
    Bug(
        "s5", "a suspended node is not fenced", "server/uploads/records.py",
        "if lease.left_by and await",
        "if not lease.left_by or not await",
        "tests/storage/test_recovery.py -k=fenced_unless",
    ),
    Bug(
        "40", "a late insert is not refused although its reservation was removed", "storage/state/redis/scripts.py",
        "  if (ARGV[9] == '1' or ARGV[11] == '1') and redis.call('EXISTS', KEYS[2]) == 1 then return 'BARRED' end\n",
        "",
        "tests/storage/test_redis_open_limit.py -k=after_its_reservation",
    ),
    Bug(
        "41", "a count removes the reservation of an upload that was just inserted", "storage/state/redis/scripts.py",
        "if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then return 1 end\n",
        "",
        "tests/storage/test_redis_open_limit.py -k=during_the_count",
    ),
    Bug(
        "42", "a master that lost its records is not noticed", "storage/state/redis/state.py",
        "        return all(await self._names())\n",
        "        return any(await self._names())\n",
        "tests/storage/test_redis_cluster.py -k=adopted_from_the_backups",
    ),
    Bug(
        "43", "each bucket in turn instead of the earliest first", "storage/state/redis/due.py",
        "        count = bisect_right(waiting, earliest_end)\n",
        "        count = bisect_right(waiting, (inf, earliest_end[1]))\n",
        "tests/storage/test_redis_cluster.py -k=in_its_order",
    ),
    Bug(
        "60", "a status that changes is not listed", "storage/state/sqlite.py",
        "(encode(saved), saved.status, *",
        "(encode(saved), upload.status if known is None else known.status, *",
        "tests/storage/test_pages.py -k=statuses_choose",
    ),
    Bug(
        "61", "Redis lists what was forgotten", "storage/state/redis/scripts.py",
        "redis.call('ZREM', KEYS[6], ARGV[1])\n",
        "",
        "tests/storage/test_pages.py -k=forgotten",
    ),
    Bug(
        "62", "an adopted upload is not listed", "storage/state/redis/scripts.py",
        "  redis.call('ZADD', KEYS[6], ARGV[10], ARGV[5])\n  own",
        "  own",
        "tests/server/test_control.py -k=over_redis",
    ),
    Bug(
        "63", "a page ends although a bucket has run out", "storage/state/redis/listing.py",
        "if reader.more and not reader.offered]",
        "if reader.more and not reader.offered and reader.last == after]",
        "tests/storage/test_pages.py -k=on_one_page",
    ),
    Bug(
        "64", "everybody may give commands", "server/control/channel.py",
        "            os.chmod(NAME, MODE, dir_fd=fd)",
        "            os.chmod(NAME, 0o666, dir_fd=fd)",
        "tests/server/test_control.py -k=only_the_user",
    ),
    Bug(
        "65", "the socket of a killed server is in the way", "server/control/channel.py",
        "    os.unlink(NAME, dir_fd=fd)\n",
        "",
        "tests/server/test_control.py -k=killed_server",
    ),
    Bug(
        "66", "an answer that was cut is taken for a whole one", "server/control/caller.py",
        '        raise OSError("the server has ended before it answered everything")\n',
        "",
        "tests/server/test_control.py -k=dies_in_the_middle",
    ),
    Bug(
        "67", "whoever reads the list slowly keeps the state", "server/control/caller.py",
        "        if config.is_shared:\n            async for answer in answers:",
        "        if True:\n            async for answer in answers:",
        "tests/server/test_control.py -k=left_open",
    ),
    Bug(
        "l1", "a file is published over another one", "storage/blobs/staging.py",
        "                os.link(source, self._files / path, follow_symlinks=False)\n",
        "                (self._files / path).unlink(missing_ok=True)\n"
        "                os.link(source, self._files / path, follow_symlinks=False)\n",
        "tests/storage/test_blobs_contract.py -k=never_overwritten",
    ),
    Bug(
        "l2", "the path is chosen again after a crash", "server/uploads/publishing.py",
        "saved = await records.save(replace(upload, place=place, sha256=sha256))",
        "saved = replace(upload, place=place, sha256=sha256)",
        LAID,
    ),
    Bug(
        "l3", "another file at the path is taken for the upload's own", "storage/blobs/places.py",
        "return token(os.stat(file, follow_symlinks=False)) == wanted",
        "return bool(os.stat(file, follow_symlinks=False))",
        "tests/server/test_layout.py -k=moved_away",
    ),
    Bug(
        "l4", "a file that is published already is not found again", "storage/blobs/staging.py",
        "        path = published_at(self._files, staged)\n        if path is None:\n",
        "        path = None\n        if path is None:\n",
        LAID,
    ),
    Bug(
        "l5", "a file gets the name of another upload", "storage/blobs/places.py",
        "yield from (each for each in tried if not re.fullmatch(ID_PATTERN, each))",
        "yield from tried",
        "tests/storage/test_blobs_contract.py -k=name_of_another",
    ),
    Bug(
        "l6", "the name of a published file is not durable", "storage/blobs/staging.py",
        "        self._sync_path(self._files / path)\n",
        "",
        "tests/storage/test_disk.py -k=on_its_way",
    ),
    Bug(
        "l7", "the other name of a published file may come back", "storage/blobs/staging.py",
        "            self._sync_folder(name.parent)  # also",
        "            pass  # also",
        "tests/faults/test_crashes.py -k=laid",
    ),
    Bug(
        "l8", "staged bytes are not durable", "storage/blobs/publishing.py",
        "        found = marked(fd)\n        self._protect(fd)\n",
        "        found = marked(fd)\n",
        "tests/faults/test_crashes.py -k=laid",
    ),
    Bug(
        "e1", "an event is queued before its record is saved", "storage/state/sqlite.py",
        "            if db.execute(_UPDATE, (*new, upload.id, upload.version)).rowcount == 1:\n"
        "                sqlite_outbox.put(db, events)\n",
        "            sqlite_outbox.put(db, events)\n"
        "            if db.execute(_UPDATE, (*new, upload.id, upload.version)).rowcount == 1:\n",
        "tests/storage/test_outbox_contract.py -k=refused",
    ),
    Bug(
        "e2", "an event is queued after its record, in a step of its own", "storage/state/sqlite.py",
        "            sqlite_outbox.put(db, events)\n            self._changed_from(None",
        "            self._changed_from(None",
        "tests/storage/test_sqlite.py -k=in_the_transaction",
        (
            (
                "        self._remember(upload)\n\n    async def load",
                "        await self._do(lambda db: sqlite_outbox.put(db, events))\n"
                "        self._remember(upload)\n\n    async def load",
            ),
        ),
    ),
    Bug(
        "e3", "an event is removed before it is taken: a crash loses it", "server/events/delivery.py",
        "            await line.target.deliver(event, self._clock())\n",
        "            await self.outbox.delivered(event, self._clock())\n"
        "            await line.target.deliver(event, self._clock())\n",
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e4", "a later event does not wait for an earlier one", "storage/state/sqlite_outbox.py",
        "AND NOT failed) THEN NULL ELSE ? END, 0, 0",
        "AND failed) THEN NULL ELSE ? END, 0, 0",
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e5", "over Redis the last event of a queue goes first", "storage/state/redis/outbox_scripts.py",
        "'ZRANGEBYSCORE', queue, '-inf', '+inf', 'LIMIT'",
        "'ZREVRANGEBYSCORE', queue, '+inf', '-inf', 'LIMIT'",
        "tests/storage/test_outbox_contract.py -k=come_in_order",
    ),
    Bug(
        "e6", "each attempt has an id of its own", "server/events/webhook.py",
        "**self._signer.sign(event.id, now, event.body)}",
        '**self._signer.sign(f"{event.id}{now}", now, event.body)}',
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e7", "an adopted upload is not told of", "storage/recovery.py",
        "created=told.created(copy), ended=told.ended(copy))",
        "created=(), ended=())",
        "tests/storage/test_lost_outbox.py",
    ),
    Bug(
        "e8", "an end is told again after a later save was lost", "storage/state/redis/scripts.py",
        " and not has_status(ARGV[11])\n",
        "\n",
        "tests/storage/test_lost_outbox.py -k=later_save",
    ),
    Bug(
        "d1", "a file of another owner is told", "server/uploads/duplicates.py",
        "(known.owner, known.sha256, known.offset) == (upload.owner, sha256, upload.offset)",
        "(known.sha256, known.offset) == (sha256, upload.offset)",
        "tests/server/test_duplicates.py -k=owner",
    ),
    Bug(
        "d2", "one hint for all owners", "server/uploads/duplicates.py",
        "hashlib.sha256(msgspec.json.encode(owner) + sha256)",
        "hashlib.sha256(sha256)",
        "tests/server/test_duplicates.py -k=owners",
    ),
    Bug(
        "d3", "a file that differs counts as shared", "storage/blobs/sharing.py",
        "    return 0 if status == _DIFFERS else shared\n",
        "    return shared or count\n",
        "tests/storage/test_sharing.py -k=damaged",
    ),
    Bug(
        "d4", "a fault of sharing fails the upload", "server/uploads/duplicates.py",
        "        except StorageError as fault:  # perhaps",
        "        except ZeroDivisionError as fault:  # perhaps",
        "tests/server/test_duplicates.py -k=fault_of_sharing",
    ),
    Bug(
        "d5", "a hint is believed without its record", "server/uploads/duplicates.py",
        "        return known if is_there and is_equal and known.role is not Role.PARTIAL else None\n",
        "        return known\n",
        "tests/server/test_duplicates.py -k=not_believed",
    ),
    Bug(
        "d6", "a second upload never shares", "server/uploads/duplicates.py",
        "                await self._blobs.share(upload.place, equal.place, upload.offset, interrupt.check)\n",
        "                pass\n",
        "tests/faults/test_shared_blocks.py -k=room",
    ),
    Bug(
        "k1", "the key is bound after the upload was made", "server/uploads/create_once.py",
        "            return Created(await engine.create(request, limits=limits, id=bound.id), new=True)\n",
        "            return Created(await engine.create(request, limits=limits), new=True)\n",
        "tests/server/test_create_once.py -k=fifty",
    ),
    Bug(
        "k2", "a second insert replaces the record", "storage/state/sqlite.py",
        "                raise Stale(upload.id)\n            if most",
        "                db.execute(\"DELETE FROM uploads WHERE id = ?\", (upload.id,))\n            if most",
        "tests/storage/test_creation_keys.py -k=sqlite",
    ),
    Bug(
        "k3", "an insert over Redis finds any record its own", "storage/state/redis/scripts.py",
        "if known and known ~= ARGV[1] then return 'KNOWN' end\n",
        "",
        "tests/storage/test_creation_keys.py -k=drops_no_copy",
    ),
    Bug(
        "k4", "a key is bound twice at once", "storage/state/redis/scripts.py",
        "if known and known ~= ARGV[3] then return known end\n",
        "",
        "tests/storage/test_creation_keys.py -k=redis",
    ),
    Bug(
        "k5", "an emptied Redis has forgotten the keys", "storage/recovery.py",
        "            await self._bind_again(copy, copy.creation_key)\n",
        "            pass\n",
        "tests/storage/test_creation_keys.py -k=emptied",
    ),
    Bug(
        "k6", "keys are looked for before an emptied Redis is filled", "storage/recovery.py",
        "        await self._fill_if_empty()\n        return await self._keys.bind(",
        "        return await self._keys.bind(",
        "tests/storage/test_creation_keys.py -k=emptied",
    ),
    Bug(
        "k7", "an insert that lost drops the copy of the winner", "storage/recovery.py",
        "        except Stale:\n            raise\n",
        "",
        "tests/storage/test_creation_keys.py -k=drops_no_copy",
    ),
    Bug(
        "k8", "one key for all owners", "protocol/creation_keys.py",
        "hash=_hash((owner, key))",
        "hash=_hash((key,))",
        "tests/protocol/test_creation_keys.py -k=owner",
    ),
    Bug(
        "k9", "the body of a repeated creation is stored", "server/http/routes.py",
        "    if not created.new:\n",
        "    if False:\n",
        "tests/server/test_create_once.py",
    ),
    Bug(
        "k10", "a failed upload keeps its key", "server/uploads/create_once.py",
        "            former = bound\n            continue\n",
        "            return Created(await engine.records.load(bound.id), new=False)\n",
        "tests/server/test_create_once.py -k=ended_without",
    ),
    Bug(
        "i1", "the client takes stored bytes for a finished upload", "client/transfer.py",
        "if stored.offset >= stop and not (ends and stored.finished is False):",
        "if stored.offset >= stop:",
        "tests/client/test_ietf.py -k=not_finished",
    ),
    Bug(
        "i2", "the client resumes an upload of another protocol", "client/resume_file.py",
        "*([] if protocol == TUS else [protocol])",
        "*[]",
        "tests/client/test_resume_file.py -k=protocol",
    ),
    Bug(
        "p1", "a prefix may be anything", "server/http/proxies.py",
        "not _PREFIX.fullmatch(path) or",
        "",
        "tests/server/test_public_base.py -k=farthest",
    ),
    Bug(
        "p2", "what is beyond an unknown address is believed", "server/http/proxies.py",
        "        if not _trusts_node(trusted, node):\n            break\n        behind += 1\n",
        "        behind += 1\n",
        "tests/server/test_public_base.py -k=farthest",
    ),
    Bug(
        "p3", "SVG is shown", "server/uploads/checks/types.py",
        "    return found not in (None, SVG) and",
        "    return found is not None and",
        "tests/server/test_inline.py -k=safe",
    ),
    Bug(
        "m1", "a body in chunks may be of any size", "server/http/transport/body.py",
        "        self._room -= len(data)\n",
        "",
        "tests/server/test_max_request.py -k=chunks",
    ),
    Bug(
        "m2", "a large body is refused after it was read", "server/http/problems.py",
        "    _check_size(request)\n",
        "",
        "tests/server/test_max_request.py -k=larger",
    ),
    Bug(
        "m3", "the client does not heed the limit of the server", "client/transfer.py",
        "(self._options.chunk_size, self._connection.most)",
        "(self._options.chunk_size,)",
        "tests/server/test_max_request.py -k=pieces",
    ),
    Bug(
        "f1", "a cut form is finished as if it were whole", "server/http/form_reader.py",
        "        return None if self._ended else self._form.fault\n",
        "        return None\n",
        "tests/server/test_forms.py -k=cut_at_any_byte",
    ),
    Bug(
        "f2", "a file of a form is told before it is published", "server/http/forms.py",
        "            self.uploads[-1] = await receive_whole(self._engine, upload, body, size=None, limits=limits)\n",
        "            work = receive_whole(self._engine, upload, body, size=None, limits=limits)\n"
        '            __import__("asyncio").ensure_future(work)\n'
        '            while not body.over:\n                await __import__("asyncio").sleep(0)\n',
        "tests/server/test_forms.py -k=is_an_upload",
    ),
    Bug(
        "f3", "what is left of a cut PUT stays", "server/uploads/whole.py",
        "            await engine.abandon(upload.id)\n",
        "            pass\n",
        "tests/server/test_put.py -k=is_cut",
    ),
    Bug(
        "f4", "what a crash leaves of a PUT waits like a resumable upload", "protocol/lifecycle.py",
        "    if not in_one_request:\n        return usual\n",
        "    if True:\n        return usual\n",
        "tests/faults/test_cut_requests.py",
    ),
    Bug(
        "f5", "a file that a check holds is abandoned with its request", "server/uploads/engine.py",
        "            if not upload.status.final and upload.status is not Status.VERIFYING:\n                await self._remove",
        "            if not upload.status.final:\n                await self._remove",
        "tests/server/test_forms.py -k=hold",
    ),
    Bug(
        "f6", "the promise of one file counts for all that follow", "protocol/forms.py",
        "self._pairs.pop(PROMISE, b\"\")",
        "self._pairs.get(PROMISE, b\"\")",
        "tests/server/test_forms.py -k=promise",
    ),
    Bug(
        "f7", "any page may send forms", "server/http/forms.py",
        "    check_form_origin(request)\n",
        "",
        "tests/server/test_forms.py -k=origin",
    ),
    Bug(
        "f8", "a form that is cut in a text field is whole", "server/http/form_reader.py",
        "                    self._parser.close()\n",
        "                    pass\n",
        "tests/server/test_forms.py -k=cut_at_any_byte",
    ),
    Bug(
        "access-1", "any algorithm of a token is verified with any key", "server/access/tokens.py",
        "        elif self._key_set is not None and algorithm in ALGORITHMS:\n"
        "            key = await self._key_set.find(algorithm, key_id)\n",
        "        else:\n            key, algorithm = self._key, OWN\n"
        "            self._jws.decode_complete = lambda token, key, algorithms: __import__('jwt').PyJWS().decode_complete(\n"
        "                token, options={'verify_signature': False})\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-2", "a remembered token never expires", "server/access/tokens.py",
        "            if now < (grant.expires or 0.0) + LEEWAY:\n                return grant\n"
        "            del self._known[digest]\n",
        "            return grant\n",
        "tests/server/test_key_set.py",
    ),
    Bug(
        "access-3", "the owner is not compared where a body comes", "server/http/access.py",
        "    if id is not None:\n        await",
        "    if id is not None and act is not Act.APPEND:\n        await",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-4", "parts of somebody else are joined", "server/http/access.py",
        "    for part in creation.concat.parts if creation.concat else ():\n"
        "        await check_access(request, Act.JOIN, part)\n",
        "",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-5", "whose upload it is does not matter once it is remembered", "server/access/owners.py",
        "        if id in self._known and grant.sees(id, self._known[id]):\n",
        "        if id in self._known:\n",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-6", "a token in the query of any method", "server/http/bearer.py",
        '    if asked and not (reads and request.method == "GET"):\n',
        "    if asked and False:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-7", "a second header Authorization does not matter", "server/http/bearer.py",
        "    if len(headers) > 1:\n",
        "    headers = headers[-1:]\n    if False:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-8", "a token for another audience", "protocol/claims.py",
        "    if audience is None or audience not in (told if isinstance(told, list) else [told]):\n",
        "    if audience is None:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-9", "the types of a token are forgotten", "protocol/decisions.py",
        "        types=request.types,\n",
        "",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-10", "a watcher outlives its token", "server/watch/routes.py",
        "        watcher.leave_after(seconds_left(request, grants))\n",
        "",
        "tests/server/test_tokens_and_applications.py -k=watchers",
    ),
    Bug(
        "link-1", "a token goes to every origin", "client/origin_headers.py",
        "        if _origin_of(request.url) == origin:\n",
        "        if origin:\n",
        "tests/client/test_tokens.py -k=no_other_origin",
    ),
    Bug(
        "link-2", "a token is repeated after Ctrl-C", "client/cli/__init__.py",
        "        command = command.replace(token or HIDDEN, HIDDEN)\n",
        "        pass\n",
        "tests/client/test_tokens.py -k=keeps_the_token",
    ),
    Bug(
        "link-3", "a token stays in the address bar", "server/page/static/token.js",
        "  history.replaceState(null, '', String(words) ? `#${words}` : location.pathname + location.search)\n",
        "",
        "tests/page/test_links.py -k=no_trace",
    ),
    Bug(
        "link-4", "an expired link forgets the upload", "server/page/static/transfer.js",
        "(fault.status && !DENIED.has(fault.status))",
        "fault.status",
        "tests/page/test_links.py -k=resumed",
    ),
    Bug(
        "access-11", "paths that are no uploads need no token", "server/http/routes.py",
        "            await check_token(request, ACTS.get(method, Act.APPEND))\n            raise NotFound",
        "            raise NotFound",
        "tests/server/test_who_may.py -k=paths",
    ),
    Bug(
        "access-12", "owners share the keys of their creations", "server/http/access.py",
        "build_creation_key(key, creation.owner, asked)",
        "build_creation_key(key, None, asked)",
        "tests/server/test_who_may.py -k=key_of_a_creation",
    ),
    Bug(
        "access-13", "a foreign upload that is remembered is refused faster", "server/http/access.py",
        "load, id, fresh=True)",
        "load, id)",
        "tests/server/test_equal_steps.py -k=sqlite",
    ),
    Bug(
        "access-14", "an unknown upload is looked for twice in Redis", "storage/recovery.py",
        "            if not await self._adopt(id):\n                raise\n            record",
        "            await self._adopt(id)\n            record",
        "tests/server/test_equal_steps.py -k=redis",
    ),
    Bug(
        "access-15", "a flood of bad tokens is answered at once", "server/access/pace.py",
        "    return max(full - now - BURST / RATE, 0.0)\n",
        "    return 0.0\n",
        "tests/server/test_pace.py",
    ),
    Bug(
        "q1", "reserve after the record", "storage/state/redis/state.py",
        "            if charged:\n                await self.quotas.reserve(upload)\n"
        "            answer = await self._run(scripts.INSERT, upload.id, *arguments, events=events)\n",
        "            answer = await self._run(scripts.INSERT, upload.id, *arguments, events=events)\n"
        "            if charged:\n                await self.quotas.reserve(upload)\n",
        f"{QUOTAS} -k=bytes_count",
    ),
    Bug(
        "q2", "a quota is not given back on expiry", "storage/state/redis/state.py",
        '        if b"charged" in has and upload.status in GONE:\n',
        '        if b"charged" in has and upload.status is Status.TERMINATED:\n',
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q3", "a quota is given back twice", "storage/state/redis/quota_scripts.py",
        "  redis.call('HDEL', KEYS[1], ARGV[1])\n",
        "",
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q4", "SQLite gives nothing back", "storage/state/sqlite_quotas.py",
        "        self._sums[known.owner] += is_now - was\n",
        "        self._sums[known.owner] += max(is_now - was, 0)\n",
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q5", "a late insert is not barred", "storage/state/redis/quota_scripts.py",
        "  if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], 'barred', 'PX', ARGV[2]) end\n",
        "",
        f"{REDIS_QUOTAS} -k=comes_after",
    ),
    Bug(
        "q6", "the sweep takes what a body has claimed", "storage/state/redis/quota_scripts.py",
        "if redis.call('EXISTS', KEYS[2]) == 1 then return {'HELD', ''} end\n",
        "",
        f"{REDIS_QUOTAS} -k=killed_server",
    ),
    Bug(
        "q7", "a suspended server settles", "storage/state/redis/quotas.py",
        "        since = self._claims.pop(upload.id, None)\n",
        "        since = None\n",
        f"{REDIS_QUOTAS} -k=suspended",
    ),
    Bug(
        "q8", "an end is not put right after a crash", "storage/state/redis/state.py",
        "            await self.quotas.doubt(upload)\n",
        "            pass\n",
        f"{REDIS_QUOTAS} -k=not_given_back",
    ),
    Bug(
        "q9", "a rollback leaves the sums", "storage/state/sqlite.py",
        "            self.quotas.forget()\n",
        "",
        "tests/storage/test_sqlite.py -k=transaction_that_fails",
    ),
    Bug(
        "q10", "bytes are stored before they are reserved", "server/uploads/quotas.py",
        "            if at + len(block) > self._end:\n",
        "            if False:\n",
        "tests/server/test_quotas.py -k=ends_at_the_quota",
    ),
    Bug(
        "q11", "what a body did not use stays reserved", "server/uploads/quotas.py",
        "                await storage.state.quotas.settle(settled)\n",
        "                pass\n",
        "tests/server/test_quotas.py -k=ends_early",
    ),
    Bug(
        "q12", "each upload has the quota for itself", "storage/state/redis/quota_scripts.py",
        "tonumber(ARGV[5]) - (sum - reserved)",
        "tonumber(ARGV[5])",
        "tests/faults/test_kill_quotas.py -k=hundred",
    ),
    Bug(
        "q13", "the list of an owner forgets its place", "storage/state/redis/listing.py",
        "            return Page(page.uploads, page.damaged, places[count - 1])\n",
        "            return page\n",
        "tests/storage/test_pages.py -k=owner_has",
    ),
    Bug(
        "r1", "a 104 tells an offset before it is recorded", "server/uploads/body_records.py",
        "        self.recorded = self._upload = await self._records.save(received)\n",
        "        await self._body.tell(received)\n"
        "        self.recorded = self._upload = await self._records.save(received)\n",
        "tests/server/test_engine.py -k=told_during",
    ),
    Bug(
        "r2", "an append with ?0 is the last one", "protocol/dialects/ietf.py",
        "        offset=offset,\n        length=parse_count(headers.get(\"upload-length\")),\n"
        "        promised=_digest(headers),\n        body_size=request.body_size,\n        completes=completes,\n",
        "        offset=offset,\n        length=parse_count(headers.get(\"upload-length\")),\n"
        "        promised=_digest(headers),\n        body_size=request.body_size,\n        completes=True,\n",
        "tests/conformance/test_ietf_2_uploads.py -k=r24",
    ),
    Bug(
        "r3", "a body that is cut finishes an upload", "protocol/decisions.py",
        "offset == length and not (cut and (completes or needs_end))",
        "offset == length",
        "tests/conformance/test_ietf_2_uploads.py -k=r32",
    ),
    Bug(
        "r4", "a contradiction of lengths is accepted", "protocol/decisions.py",
        "    if upload.length not in (None, end):\n",
        "    if False:\n",
        "tests/conformance/test_ietf_1_creation.py -k=r14",
    ),
    Bug(
        "r5", "HEAD of tus tells all bytes of an upload that is not finished", "server/uploads/engine.py",
        "            if finish and decisions.is_filled(upload):\n",
        "            if False:\n",
        "tests/conformance/test_ietf_3_both.py -k=rm7",
    ),
    Bug(
        "r6", "a failed check leaves the client free to resume", "protocol/dialects/ietf_replies.py",
        "_flag(over=isinstance(refusal, Failed) and refusal.code not in _UNJUDGED)",
        "_flag(over=False)",
        "tests/conformance/test_ietf_3_both.py -k=rm5",
    ),
    Bug(
        "r7", "a finished upload is failed by more bytes", "server/uploads/bodies.py",
        "        if asked.excess_fails and not upload.status.final:\n",
        "        if asked.excess_fails:\n",
        "tests/conformance/test_ietf_2_uploads.py -k=r55b",
    ),
)  # fmt: skip
