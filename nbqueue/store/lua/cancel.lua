-- Revoke what has not been recorded. ARGV: body, sig, now, expire_ms, then (round, item) pairs;
-- no pairs means everything that is left. Returns how many items were revoked, -1 when the job is
-- unknown. From here on workers' outcomes for these items find their bit set and change nothing.
if not load() then return -1 end
local left, n, revoked = tonumber(M.left), tonumber(M.n), 0
if #ARGV == 4 then
  revoked = left
  if revoked == 0 then return 0 end
  for round = 1, tonumber(M.round) do
    redis.call('SET', done_key(round), string.rep('\255', math.ceil(n / 8)))
  end
  set('cancelled', 1)
else
  for k = 5, #ARGV, 2 do
    if redis.call('SETBIT', done_key(ARGV[k]), ARGV[k + 1], 1) == 0 then revoked = revoked + 1 end
  end
  if revoked == 0 then return 0 end
end
append('cancelled', ARGV[1], ARGV[2])
add('revoked', revoked)
add('left', -revoked)
if M.left == 0 then set('finished', ARGV[3]) end
save()
if M.left == 0 then finish(ARGV[3], ARGV[4]) end
return revoked
