-- Take one of a task's slots, or wait for one. KEYS: its slots (holder by when its lease ends), its
-- limits, messages that wait for it, messages by when they are due, the bell, the task of each
-- holder. ARGV: now or '', task, how many slots the asker's job allows, when that job was submitted,
-- holder, seconds that a lease lasts, the message to keep if there is none. Returns 1 or 0.
-- Who waits comes back when a slot is given back (slot_give), or when a lease may have run out.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local most, since, holder, message = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[7]
local found = redis.call('HMGET', KEYS[2], 'slots', 'slots_since')
if found[1] and tonumber(found[2]) > since then
  most, since = tonumber(found[1]), tonumber(found[2])
end
redis.call('HSET', KEYS[2], 'slots', most, 'slots_since', string.format('%.6f', since))
redis.call('EXPIRE', KEYS[2], 86400)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
  redis.call('HDEL', KEYS[6], dead)
end
redis.call('ZREM', KEYS[3], message)
if redis.call('ZSCORE', KEYS[1], holder) or redis.call('ZCARD', KEYS[1]) < most then
  redis.call('ZADD', KEYS[1], string.format('%.6f', now + ARGV[6]), holder)
  redis.call('HSET', KEYS[6], holder, ARGV[2])
  return 1
end
-- One after the other, should nobody call them: else all would come at once.
local due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] + redis.call('ZCARD', KEYS[3]) / 10
redis.call('ZADD', KEYS[3], string.format('%.6f', since), message)
redis.call('EXPIRE', KEYS[3], 86400)
redis.call('ZADD', KEYS[4], string.format('%.6f', due), message)
if redis.call('ZRANK', KEYS[4], message) == 0 then
  redis.call('LPUSH', KEYS[5], 1)
  redis.call('LTRIM', KEYS[5], 0, 0)
end
return 0
