"""The Lua scripts of the outbox. `outbox.py` has its keys, and calls the scripts; all may be repeated.

Events are put into the outbox by the scripts that save records (scripts.py), which therefore contain PUT.
"""

# Put events into their queues; `first` is the place of the first event among the arguments, `id` the upload. Does
# nothing for an event that is there already, waiting or failed. KEYS[8], KEYS[9]: outbox, documents; then the keys due
# and queue of each event. ARGV, for each event: its name, its id, seq, since, document.
PUT = """
local function put(first, id)
  for at = 10, #KEYS, 2 do
    local name, event, seq, since, document = unpack(ARGV, first, first + 4)
    if not redis.call('HGET', KEYS[9], name) then
      redis.call('HSET', KEYS[9], name, document)
      redis.call('ZADD', KEYS[8], since, name)
      redis.call('ZADD', KEYS[at + 1], seq, event)
      redis.call('ZADD', KEYS[at], 'NX', since, id)
    end
    first = first + 5
  end
end
"""

# The first event of a queue.
_FIRST = """
local function first(queue) return redis.call('ZRANGEBYSCORE', queue, '-inf', '+inf', 'LIMIT', 0, 1)[1] end
"""

# KEYS: documents, attempts, due, queue, outbox. ARGV: id, target, now, until. Returns the document and the failed
# attempts of the first event if it is due, and hides it. If the answer is lost, the event stays hidden until the claim
# ends. An event without its document, which a Redis that evicts keys has dropped, is removed.
CLAIM = f"""{_FIRST}
local due = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not due or tonumber(due) > tonumber(ARGV[3]) then return false end
local event = first(KEYS[4])
while event do
  local name = ARGV[2] .. ' ' .. event
  local document = redis.call('HGET', KEYS[1], name)
  if document then
    redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
    return {{document, redis.call('HGET', KEYS[2], name) or 0}}
  end
  redis.call('ZREM', KEYS[4], event)
  redis.call('ZREM', KEYS[5], name)
  event = first(KEYS[4])
end
redis.call('ZREM', KEYS[3], ARGV[1])
return false
"""

# KEYS: due, queue, attempts. ARGV: id, name, id of the event, when it is due, 1 if an attempt has failed.
MOVE = f"""{_FIRST}
if first(KEYS[2]) ~= ARGV[3] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
if ARGV[5] == '1' then redis.call('HINCRBY', KEYS[3], ARGV[2], 1) end
return 1
"""

# KEYS: outbox, documents, failed, attempts, due, queue. ARGV: id, name, id of the event, now, 1 to keep it as failed.
# Returns 1 if there is another event in its queue.
END = f"""{_FIRST}
local was_first = first(KEYS[6]) == ARGV[3]
local waited = redis.call('ZREM', KEYS[6], ARGV[3]) == 1
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
if ARGV[5] == '0' then
  redis.call('HDEL', KEYS[2], ARGV[2])
  redis.call('ZREM', KEYS[3], ARGV[2])
elseif waited then
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
end
if not first(KEYS[6]) then
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 0
end
if was_first then redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1]) end
return 1
"""

# KEYS: outbox, documents, failed, attempts, due, queue. ARGV: id, name, id of the event, seq, now, document.
# Returns 1 if the event had failed and waits again.
RETRY = f"""{_FIRST}
if redis.call('ZREM', KEYS[3], ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[6])
redis.call('ZADD', KEYS[1], ARGV[5], ARGV[2])
redis.call('ZADD', KEYS[6], ARGV[4], ARGV[3])
if first(KEYS[6]) == ARGV[3] then redis.call('ZADD', KEYS[5], ARGV[5], ARGV[1]) end
return 1
"""
