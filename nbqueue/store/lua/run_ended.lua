-- Note how runs of a schedule ended, unless it was removed meanwhile. KEYS: the schedule, how its
-- runs ended. ARGV: job id, JSON, job id, JSON ...
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HSET', KEYS[2], unpack(ARGV))
