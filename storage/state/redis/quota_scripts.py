"""The Lua scripts of the quotas. `quotas.py` has their keys, and calls the scripts; all may be repeated.

A reservation is a field of the hash of its owner: the id of the upload, with the bytes and perhaps the token. In the
same hash `bytes` is the sum of all, and `owner` the name of the owner.
"""

_KNOWN = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
local reserved, token = 0, ''
if known then
  local bytes, rest = string.match(known, '^(%d+) (.*)$')
  reserved, token = tonumber(bytes), rest
end
local sum = tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0)
local function text(number) return string.format('%.0f', number) end
"""

# KEYS: reservations, unsure, under the token, counted. ARGV: id, entry in unsure, bytes, the least that is enough,
# quota or '', token or '', the most uploads under the token or '', owner, 1 to reserve before all was counted. Returns
# two values: the bytes that are reserved now, or why it is refused; and since when they are unsure.
CLAIM = f"""{_KNOWN}
if ARGV[9] == '0' and redis.call('EXISTS', KEYS[4]) == 0 then return {{'UNCOUNTED', ''}} end
local wanted = tonumber(ARGV[3])
if ARGV[5] ~= '' and wanted > reserved then
  wanted = math.max(math.min(wanted, tonumber(ARGV[5]) - (sum - reserved)), reserved)
  if wanted < tonumber(ARGV[4]) then return {{'QUOTA', ''}} end
end
if ARGV[7] ~= '' and redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 0 then
  if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[7]) then return {{'UPLOADS', ''}} end
end
wanted = math.max(wanted, reserved)
redis.call('HSET', KEYS[1], ARGV[1], text(wanted) .. ' ' .. ARGV[6], 'bytes', text(sum + wanted - reserved), 'owner', ARGV[8])
if ARGV[6] ~= '' then redis.call('SADD', KEYS[3], ARGV[1]) end
local now = redis.call('TIME')
now = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('ZADD', KEYS[2], now, ARGV[2])
return {{text(wanted), now}}
"""  # noqa: E501

# KEYS: unsure. ARGV: entry in unsure.
MARK_UNSURE = """
local now = redis.call('TIME')
return redis.call('ZADD', KEYS[1], now[1] .. '.' .. string.format('%06d', now[2]), ARGV[1])
"""

# KEYS: reservations, unsure, under the token. ARGV: id, entry in unsure, the bytes that are right, '' to give all back,
# and since when it is unsure if it must not have been reserved again in the meantime, or ''.
SETTLE = f"""{_KNOWN}
if ARGV[4] ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or 0) ~= tonumber(ARGV[4]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
if not known then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SREM', KEYS[3], ARGV[1])
  redis.call('HSET', KEYS[1], 'bytes', text(sum - reserved))
  if redis.call('HLEN', KEYS[1]) == 2 then redis.call('DEL', KEYS[1]) end
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. token, 'bytes', text(sum + tonumber(ARGV[3]) - reserved))
end
return 1
"""

# On an upload, with its keys (scripts.py). ARGV: id, milliseconds. Returns what became of it, and its record. If there
# is none, an INSERT that relies on its reservation is refused from now on; the key of the lease says so. If there is
# one, it is noted there that it has a reservation. While a request holds the lease, it may have claimed more.
EXAMINE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], 'barred', 'PX', ARGV[2]) end
  return {'GONE', ''}
end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'HELD', ''} end
redis.call('HSET', KEYS[1], 'charged', 1)
return {'THERE', redis.call('HGET', KEYS[1], 'document') or ''}
"""
