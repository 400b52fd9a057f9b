"""The Lua scripts: what Redis has to do in one atomic step. `commands.py` calls them.

Every script may be repeated, because an answer can be lost on its way and the client library then asks again. The
scripts on an upload all get the same keys, those of its bucket (keys.py), which are in one slot of a cluster:

    KEYS[1]  {onward:07}:ID:record   hash    document, version   the record, as codec.py writes it, and its version
                                             epoch               of the latest lease
                                             node                that holds the latest lease; removed by a release
                                             left_by             that left a lease without a release; '*' for unknown
                                             left                the epoch of the latest lease that was left
                                             unsent, kept        what this upload has been promised, in bytes
                                             reserved            1 if its reservation has to be given back (--max-open)
                                             charged             1 if it counts in the quota of its owner (quotas.py)
                                             owned               its entry in the list of the uploads that have an owner
    KEYS[2]  {onward:07}:ID:lease    string  the token of the holder, with a time to live
    KEYS[3]  {onward:07}:due         zset    the ids of the uploads that the sweep has to look at, by their due time
    KEYS[4]  {onward:07}:open        set     the ids of the unfinished uploads
    KEYS[5]  {onward:07}:promised    hash    unsent, kept        the sums over the unfinished uploads
    KEYS[6]  {onward:07}:listed      zset    the ids of all uploads, by the time of their creation
    KEYS[7]  {onward:07}:owned       zset    the entries of the uploads that have an owner (keys.py)

The life of a lease, and what the record says about it:

                 ACQUIRE                    RELEASE, or the last SAVE
    (free) ----------------> held by N  ----------------> (free)
      ^                      node = N                     no node
      |                         |
      |                         | its time to live passes: N crashed, or is suspended
      |                         v
      |   ACQUIRE by M       left by N, perhaps still writing
      |   left_by = N   <----  node = N, no token
      |                         |
      +---- FENCED by M --------+  removes left_by; so does a late RELEASE by N itself

If two different nodes left leases and neither is fenced, `left_by` is '*': the bytes must be copied then.

INSERT, SAVE and ADOPT also put events into the outbox, if they get further keys and arguments (outbox.py).
"""

from onward.storage.state.redis.outbox_scripts import PUT

# Update the sums of all promises by what has changed for this upload. Repeatable: the record has its own share.
_PROMISE = """
local function promise(unsent, kept)
  local before = redis.call('HMGET', KEYS[1], 'unsent', 'kept')
  if before[1] == unsent and before[2] == kept then return end
  local all = redis.call('HMGET', KEYS[5], 'unsent', 'kept')
  local function sum(at, now)
    return string.format('%.0f', (tonumber(all[at]) or 0) + tonumber(now) - (tonumber(before[at]) or 0))
  end
  redis.call('HSET', KEYS[5], 'unsent', sum(1, unsent), 'kept', sum(2, kept))
  redis.call('HSET', KEYS[1], 'unsent', unsent, 'kept', kept)
end
"""

# Put an upload into the list of its owner.
_OWN = """
local function own(entry)
  if entry == '' then return end
  redis.call('HSET', KEYS[1], 'owned', entry)
  redis.call('ZADD', KEYS[7], 0, entry)
end
"""

# Release the lease with this token and epoch, which may have run out: it is certain now that its holder writes no more.
# This also proves that the node stopped writing under earlier leases, not under later ones. The epoch is 0 if unknown.
_RELEASE = """
local function release(token, node, ended)
  local known = redis.call('HMGET', KEYS[1], 'epoch', 'node', 'left_by', 'left')
  if known[3] == node and tonumber(known[4] or 1) <= ended then redis.call('HDEL', KEYS[1], 'left_by') end
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= token then return 0 end
  if known[2] == node and (holder or tonumber(known[1]) == ended) then redis.call('HDEL', KEYS[1], 'node') end
  return redis.call('DEL', KEYS[2])
end
"""

# ARGV: document, version, epoch, due or '', id, 1 if unfinished, unsent, kept, 1 if it has a reservation (--max-open),
# created, 1 if it has one of its owner, entry in the list of its owner or '', events. Returns 'KNOWN', and changes
# nothing, if there is another record; a repeated insert finds its own.
INSERT = f"""{_PROMISE}{PUT}{_OWN}
local known = redis.call('HGET', KEYS[1], 'document')
if known and known ~= ARGV[1] then return 'KNOWN' end
if not known then
  if (ARGV[9] == '1' or ARGV[11] == '1') and redis.call('EXISTS', KEYS[2]) == 1 then return 'BARRED' end
  if ARGV[9] == '1' then redis.call('HSET', KEYS[1], 'reserved', 1) end
  if ARGV[11] == '1' then redis.call('HSET', KEYS[1], 'charged', 1) end
  redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', ARGV[2], 'epoch', ARGV[3])
  promise(ARGV[7], ARGV[8])
  put(13, ARGV[5])
end
own(ARGV[12])
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
if ARGV[6] == '1' then redis.call('SADD', KEYS[4], ARGV[5]) end
redis.call('ZADD', KEYS[6], ARGV[10], ARGV[5])
return 'OK'
"""

# ARGV: document, version before, epoch, due or '', id, 1 if unfinished, unsent, kept, token, channel, message, the node
# if the lease is given up as well or '', events. Returns 'OK', and 'reserved' and 'charged' if the record says so: if
# this is the end, there is something to give back. A repeated save finds its own document, which has its version and
# its epoch, and succeeds; it looks for that first, because the lease that it gave up may be another's by now.
SAVE = f"""{_PROMISE}{PUT}{_RELEASE}
local known = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'reserved', 'charged')
if not known[1] then return 'MISSING' end
local done = 'OK' .. (known[3] and ' reserved' or '') .. (known[4] and ' charged' or '')
local saved = tonumber(known[1]) == tonumber(ARGV[2]) + 1
if saved and redis.call('HGET', KEYS[1], 'document') == ARGV[1] then return done end
if known[2] ~= ARGV[3] then return 'STALE' end
if known[1] ~= ARGV[2] or redis.call('GET', KEYS[2]) ~= ARGV[9] then return 'STALE' end
redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', tostring(tonumber(ARGV[2]) + 1))
if ARGV[4] == '' then redis.call('ZREM', KEYS[3], ARGV[5]) else redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
redis.call(ARGV[6] == '1' and 'SADD' or 'SREM', KEYS[4], ARGV[5])
promise(ARGV[7], ARGV[8])
put(13, ARGV[5])
redis.call('PUBLISH', ARGV[10], ARGV[11])
if ARGV[12] ~= '' then release(ARGV[9], ARGV[12], tonumber(ARGV[3])) end
return done
"""

# ARGV: document, version, new epoch, due or '', id, 1 if unfinished, unsent, kept, the epoch that the copy was saved
# with, created, the status if it is final and has events or '', entry in the list of its owner or '', events. If Redis
# still knows a later lease than that one, it is kept; only forgotten leases need the new epoch. Unless the whole record
# was missing, the event of a creation is in the outbox already, or was delivered, and so is that of the status that the
# record has: a record that has ended may be saved again without an event.
ADOPT = f"""{_PROMISE}{PUT}{_OWN}
local known = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'document')
local version, epoch = tonumber(known[1] or -1), tonumber(known[2] or -1)
local function has_status(status)
  local intact, record = pcall(cjson.decode, string.match(known[3] or '', '^[^\\n]*'))
  return intact and type(record) == 'table' and record.status == status
end
if version >= tonumber(ARGV[2]) and epoch > tonumber(ARGV[9]) then return 'OK' end
local ended_since = version < tonumber(ARGV[2]) and ARGV[11] ~= '' and not has_status(ARGV[11])
if version < 0 or ended_since then put(13, ARGV[5]) end
if version <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', ARGV[2])
  if ARGV[4] == '' then redis.call('ZREM', KEYS[3], ARGV[5]) else redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
  redis.call(ARGV[6] == '1' and 'SADD' or 'SREM', KEYS[4], ARGV[5])
  redis.call('ZADD', KEYS[6], ARGV[10], ARGV[5])
  own(ARGV[12])
  promise(ARGV[7], ARGV[8])
end
if epoch > tonumber(ARGV[9]) then return 'OK' end
redis.call('HSET', KEYS[1], 'epoch', tostring(math.max(epoch + 1, tonumber(ARGV[3]))), 'left_by', '*')
redis.call('HDEL', KEYS[1], 'node')
redis.call('DEL', KEYS[2])
return 'OK'
"""

# ARGV: id. Returns two values: 1 if the upload was unfinished and has a reservation to give back, and its document if
# it is charged, or ''.
FORGET = f"""{_PROMISE}
local known = redis.call('HMGET', KEYS[1], 'reserved', 'charged', 'document', 'owned')
promise('0', '0')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
if known[4] then redis.call('ZREM', KEYS[7], known[4]) end
local unfinished = redis.call('SREM', KEYS[4], ARGV[1]) == 1
return {{unfinished and known[1] and 1 or 0, known[2] and known[3] or ''}}
"""

# ARGV: token, milliseconds, node. Returns three values: the new epoch, 0 if another request holds the lease, or -1 if
# there is no record; the node that left a lease without a release, '*' if it is unknown, or ''; and the document.
# If a lease has more than its milliseconds left, the clock of Redis was set back: its time is shortened.
ACQUIRE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1, '', ''} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  if redis.call('PTTL', KEYS[2]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
  return {0, '', ''}
end
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch'))
if not holder then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  local left = redis.call('HMGET', KEYS[1], 'node', 'left_by')
  if left[1] and left[1] ~= '' then
    redis.call('HSET', KEYS[1], 'left_by', left[2] and left[2] ~= left[1] and '*' or left[1], 'left', epoch - 1)
  end
  redis.call('HSET', KEYS[1], 'node', ARGV[3])
end
return {epoch, redis.call('HGET', KEYS[1], 'left_by') or '', redis.call('HGET', KEYS[1], 'document') or ''}
"""

# KEYS: those of the record and the lease of each of several uploads, which may be in different slots (see
# `Commands.run_for`). Returns each document, or nil if a request holds the lease or has left it without a release.
AT_REST = """
local documents = {}
for at = 1, #KEYS, 2 do
  local known = redis.call('HMGET', KEYS[at], 'document', 'node', 'left_by')
  local held = known[2] or known[3] or redis.call('EXISTS', KEYS[at + 1]) == 1
  documents[#documents + 1] = not held and known[1]
end
return documents
"""

# ARGV: epoch.
FENCED = """
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('HDEL', KEYS[1], 'left_by') end
return 'OK'
"""

# ARGV: token, milliseconds.
RENEW = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""

# ARGV: token, node, epoch or 0 if it is unknown.
RELEASE = f"""{_RELEASE}
return release(ARGV[1], ARGV[2], tonumber(ARGV[3]))
"""

# KEYS[1] is the key of a creation. ARGV: what it shall stand for, milliseconds, and what it may stand for now, or ''.
# Returns what it stands for then.
BIND = """
local known = redis.call('GET', KEYS[1])
if known and known ~= ARGV[3] then return known end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

# KEYS[1] is the key of a creation. ARGV: the id of the upload that it stands for.
UNBIND = """
local known = redis.call('GET', KEYS[1])
if known and string.sub(known, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then redis.call('DEL', KEYS[1]) end
return 'OK'
"""

# KEYS[1] says which server of a cluster is asked: always the same one.
TIME = """
local now = redis.call('TIME')
return now[1] .. '.' .. string.format('%06d', now[2])
"""

# KEYS: the reservations, and the key that exists while they are complete. ARGV: id, the most unfinished uploads.
RESERVE = """
if redis.call('EXISTS', KEYS[2]) == 0 then return 'UNCOUNTED' end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'OK' end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 'CROWDED' end
redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
return 'OK'
"""

# ARGV: id, milliseconds. Returns 1 if the upload is unfinished. If there is no record, an INSERT that relies on its
# reservation is refused from now on. The key of the lease says so, which has no other use while there is no record.
BAR = """
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then return 1 end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[2], 'barred', 'PX', ARGV[2]) end
return 0
"""

# ARGV: an id that no upload has, a channel of each kind. Calls every command that the other scripts and the modules
# beside this one use, so that a missing permission is noticed before an upload needs it. Leaves nothing behind.
PROBE = """
redis.call('TIME')
redis.call('PUBLISH', ARGV[2], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', 1000)
redis.call('GET', KEYS[2])
redis.call('PTTL', KEYS[2])
redis.call('PEXPIRE', KEYS[2], 1000)
redis.call('PTTL', KEYS[2])
redis.call('TIME')
redis.call('HSET', KEYS[1], 'epoch', 0, 'node', '')
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HGET', KEYS[1], 'epoch')
redis.call('HMGET', KEYS[1], 'epoch', 'node')
redis.call('HDEL', KEYS[1], 'node')
redis.call('EXISTS', KEYS[1])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
redis.call('ZRANGEBYSCORE', KEYS[3], 0, 0, 'LIMIT', 0, 1)
redis.call('ZREVRANGEBYSCORE', KEYS[3], 0, 0, 'LIMIT', 0, 1)
redis.call('ZSCORE', KEYS[3], ARGV[1])
redis.call('ZCARD', KEYS[3])
redis.call('ZSCAN', KEYS[3], 0, 'COUNT', 1)
redis.call('ZRANGEBYLEX', KEYS[3], '-', '+', 'LIMIT', 0, 1)
redis.call('ZREVRANGEBYLEX', KEYS[3], '+', '-', 'LIMIT', 0, 1)
redis.call('HLEN', KEYS[1])
redis.call('HEXISTS', KEYS[1], 'epoch')
redis.call('SCARD', KEYS[4])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('SISMEMBER', KEYS[4], ARGV[1])
redis.call('SSCAN', KEYS[4], 0, 'COUNT', 1)
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
return 'OK'
"""
