-- Revoke what has not been recorded. ARGV: body, sig, now, expire_ms, then (round, item) pairs;
-- no pairs means everything that is left. Returns how many items were revoked, -1 when the job is
-- unknown. From here on workers' outcomes for these items find their bit set and change nothing.
local m = redis.call('HMGET', meta, 'left', 'n', 'round')
if not m[1] then return -1 end
local left, n = tonumber(m[1]), tonumber(m[2])
local revoked = 0
if #ARGV == 4 then
  revoked = left
  if revoked == 0 then return 0 end
  for round = 1, tonumber(m[3]) do
    redis.call('SET', done_key(round), string.rep('\255', math.ceil(n / 8)))
  end
  redis.call('HSET', meta, 'cancelled', 1)
else
  for k = 5, #ARGV, 2 do
    if redis.call('SETBIT', done_key(ARGV[k]), ARGV[k + 1], 1) == 0 then revoked = revoked + 1 end
  end
  if revoked == 0 then return 0 end
end
append('cancelled', ARGV[1], ARGV[2])
redis.call('HINCRBY', meta, 'revoked', revoked)
redis.call('HSET', meta, 'left', left - revoked)
if left - revoked == 0 then finish(ARGV[3], ARGV[4]) end
return revoked
