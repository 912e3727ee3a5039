-- Make a job exist. Client and worker may both call it (the message is the acceptance, whoever
-- comes first opens), so a second call changes nothing. ARGV: body, sig, n, name, task, submitted,
-- origin channel, now, expire_ms, sealed arguments of a single call or ''. Returns 1 when the job was opened, 0 when it was there (or gone).
if redis.call('EXISTS', meta) == 1 then return 0 end
redis.call('HSET', meta, 'n', ARGV[3], 'left', ARGV[3], 'round', 1, 'name', ARGV[4],
  'task', ARGV[5], 'submitted', ARGV[6], 'origin', ARGV[7], 'cancelled', 0)
if #ARGV[10] > 0 then redis.call('HSET', args, '0', ARGV[10]) end
redis.call('PERSIST', args)  -- blocks uploaded before the job was accepted were on probation
redis.call('ZADD', 'nbq:jobs', ARGV[6], job)
redis.call('HSET', 'nbq:names', ARGV[4], job)
append('opened', ARGV[1], ARGV[2])
if tonumber(ARGV[3]) == 0 then
  finish(ARGV[8], ARGV[9])
else
  redis.call('ZADD', 'nbq:active', ARGV[6], job)
end
return 1
