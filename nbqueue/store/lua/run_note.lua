-- Note a run of a schedule, unless the schedule was removed meanwhile. KEYS: the schedule, its runs,
-- how they ended. ARGV: job id (or, with a space in it, that it was skipped), when it was due, how
-- many are kept.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[1]) == 1 and not ARGV[1]:find(' ') then
  redis.call('HINCRBY', KEYS[1], 'n_runs', 1)
end
for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -ARGV[3] - 1)) do
  redis.call('ZREM', KEYS[2], old)
  redis.call('HDEL', KEYS[3], old)
end
return 1
