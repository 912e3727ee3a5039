-- Find the messages whose leases have ended. KEYS: as lease_renew. ARGV: now or '', seconds that a
-- process has for putting one back, how many at most. Returns {tag, until when it is claimed,
-- message ...}. Leases that nobody has counted yet (their score is how long they are to last,
-- negative) begin now.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local new = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0', 'WITHSCORES')
for k = 1, #new, 2 do
  redis.call('ZADD', KEYS[1], string.format('%.6f', now - new[k + 1]), new[k])
end
local claimed, found = string.format('%.6f', now + ARGV[2]), {}
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'LIMIT', 0, ARGV[3])
for _, tag in ipairs(ended) do
  local message = redis.call('HGET', KEYS[2], tag)
  if message then
    redis.call('ZADD', KEYS[1], claimed, tag)
    for _, value in ipairs({tag, claimed, message}) do table.insert(found, value) end
  else
    redis.call('ZREM', KEYS[1], tag)
  end
end
return found
