"""What Redis has to do in one step, in Lua. Each may be repeated: an answer can be lost on its way.

KEYS: the record (a hash of document, version, epoch, the node that has the lease, the one that left it, and the last
epoch that it left), the lease (a token), the due times (a sorted set), the ids of unfinished uploads (a set), and what
all of them have been promised (a hash of two sums, in bytes; the record has its own share of them).
"""

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

# ARGV: document, version, epoch, due or '', id, 1 where it is unfinished, its two promises, how many may be or ''.
INSERT = f"""{_PROMISE}
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[9] ~= '' and redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[9]) then return 'CROWDED' end
  redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', ARGV[2], 'epoch', ARGV[3])
  promise(ARGV[7], ARGV[8])
end
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
if ARGV[6] == '1' then redis.call('SADD', KEYS[4], ARGV[5]) end
return 'OK'
"""

# ARGV: document, version known before, epoch, due or '', id, 1 where it is unfinished, its two promises, token,
# channel, event. The same save again finds its own version and epoch.
SAVE = f"""{_PROMISE}
local known = redis.call('HMGET', KEYS[1], 'version', 'epoch')
if not known[1] then return 'MISSING' end
if known[2] ~= ARGV[3] then return 'STALE' end
local saved = tonumber(known[1]) == tonumber(ARGV[2]) + 1
if saved and redis.call('HGET', KEYS[1], 'document') == ARGV[1] then return 'OK' end
if known[1] ~= ARGV[2] or redis.call('GET', KEYS[2]) ~= ARGV[9] then return 'STALE' end
redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', tostring(tonumber(ARGV[2]) + 1))
if ARGV[4] == '' then redis.call('ZREM', KEYS[3], ARGV[5]) else redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
redis.call(ARGV[6] == '1' and 'SADD' or 'SREM', KEYS[4], ARGV[5])
promise(ARGV[7], ARGV[8])
redis.call('PUBLISH', ARGV[10], ARGV[11])
return 'OK'
"""

# ARGV: document, version, epoch, due or '', id, 1 where it is unfinished, its two promises, the epoch that the record
# had with it. Where the lease of that epoch is remembered, nobody is shut out who isn't by the leases themselves.
ADOPT = f"""{_PROMISE}
local known = redis.call('HMGET', KEYS[1], 'version', 'epoch')
local version, epoch = tonumber(known[1] or -1), tonumber(known[2] or -1)
if version >= tonumber(ARGV[2]) and epoch > tonumber(ARGV[9]) then return 'OK' end
if version <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'document', ARGV[1], 'version', ARGV[2])
  if ARGV[4] == '' then redis.call('ZREM', KEYS[3], ARGV[5]) else redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5]) end
  redis.call(ARGV[6] == '1' and 'SADD' or 'SREM', KEYS[4], ARGV[5])
  promise(ARGV[7], ARGV[8])
end
if epoch > tonumber(ARGV[9]) then return 'OK' end
redis.call('HSET', KEYS[1], 'epoch', tostring(math.max(epoch + 1, tonumber(ARGV[3]))), 'left_by', '*')
redis.call('HDEL', KEYS[1], 'node')
redis.call('DEL', KEYS[2])
return 'OK'
"""

FORGET = f"""{_PROMISE}
promise('0', '0')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
return 'OK'
"""

# ARGV: token, milliseconds, node. Gives the new epoch, 0 where somebody else holds the lease, -1 where there is no
# record; the node that left the lease without giving it up, '*' for one that nobody knows, or ''; and the document.
# A lease that would last longer than any can has outlived a change of the server's clock: its time begins anew.
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

# Gives the document, or nil where somebody holds the lease or has left it.
AT_REST = """
local known = redis.call('HMGET', KEYS[1], 'document', 'node', 'left_by')
if known[2] or known[3] or redis.call('EXISTS', KEYS[2]) == 1 then return false end
return known[1]
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

# ARGV: token, node, epoch, 0 where it isn't known. A lease that has run out is given up too: its holder writes no more.
# Nor does its node under any lease before; under a later one it may, and may be asleep.
RELEASE = """
local known = redis.call('HMGET', KEYS[1], 'epoch', 'node', 'left_by', 'left')
local ended = tonumber(ARGV[3])
if known[3] == ARGV[2] and tonumber(known[4] or 1) <= ended then redis.call('HDEL', KEYS[1], 'left_by') end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
if known[2] == ARGV[2] and (holder or tonumber(known[1]) == ended) then redis.call('HDEL', KEYS[1], 'node') end
return redis.call('DEL', KEYS[2])
"""

# Keyed, so that all nodes ask the same server of a cluster.
TIME = """
local now = redis.call('TIME')
return now[1] .. '.' .. string.format('%06d', now[2])
"""

# ARGV: a name that no upload has, and the two kinds of channels. Does whatever the other scripts and commands need to
# be allowed to do, so that a server that may not do it learns that before an upload does; nothing of it stays.
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
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('SCARD', KEYS[4])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
return 'OK'
"""
