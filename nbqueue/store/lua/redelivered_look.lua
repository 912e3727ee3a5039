-- Have messages be sent that were put aside, and whose holders are gone. KEYS: messages that were put
-- aside by when to look at them, those, messages that are kept by when they are due. ARGV: how the
-- keys of leases begin, how many to look at. Returns how many are to be sent.
local time, found = redis.call('TIME'), 0
local now = time[1] + time[2] / 1e6
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local left = redis.call('PTTL', ARGV[1] .. id)
  if left > 0 then
    redis.call('ZADD', KEYS[1], string.format('%.6f', now + left / 1000), id)
  else
    local message = redis.call('HGET', KEYS[2], id)
    if message then
      redis.call('ZADD', KEYS[3], string.format('%.6f', now), message)
      found = found + 1
    end
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
  end
end
return found
