-- Take a message that came again, or put it aside while another delivery of it is being run. KEYS: its
-- lease, messages that were put aside by when to look at them, those. ARGV: how long a lease lasts in
-- ms, id of the message, which delivery this is, the message. Returns 1 when it may be run.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then
  local time = redis.call('TIME')
  local ends = time[1] + time[2] / 1e6 + redis.call('PTTL', KEYS[1]) / 1000
  redis.call('ZADD', KEYS[2], string.format('%.6f', ends), ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
  return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
return 1
