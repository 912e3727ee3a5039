-- Give a slot back, and call as many of those who wait as there are slots. KEYS: as slot_take.
-- ARGV: now or '', holder ('' where a turn came to nothing). Those who wait and are not among the
-- messages to come any more (their job was forgotten) are passed over.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
if ARGV[2] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[2])
  redis.call('HDEL', KEYS[6], ARGV[2])
end
local most = tonumber(redis.call('HGET', KEYS[2], 'slots') or 0)
local free = most - redis.call('ZCOUNT', KEYS[1], string.format('(%.6f', now), '+inf')
local called = false
while free > 0 do
  local first = redis.call('ZPOPMIN', KEYS[3])[1]
  if not first then break end
  if redis.call('ZSCORE', KEYS[4], first) then
    redis.call('ZADD', KEYS[4], 0, first)
    free, called = free - 1, true
  end
end
if called then
  redis.call('LPUSH', KEYS[5], 1)
  redis.call('LTRIM', KEYS[5], 0, 0)
end
