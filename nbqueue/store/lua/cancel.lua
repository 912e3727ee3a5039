-- Revoke what has not been recorded. ARGV: body, sig, now, expire_ms, round, then runs a, b ... of
-- that round; no runs means everything that is left. Returns how many items were revoked, -1 when
-- the job is unknown. From here on workers' outcomes for these items find their bit set and change
-- nothing.
if not load() then return -1 end
local left, n, revoked, round = tonumber(M.left), tonumber(M.n), 0, tonumber(ARGV[5])
if #ARGV == 5 then
  revoked = left
  if revoked == 0 then return 0 end
  for r = 1, tonumber(M.round) do
    redis.call('SET', done_key(r), string.rep('\255', math.ceil(n / 8)))
  end
  set('cancelled', 1)
  for s = 0, tonumber(M.plan or 0) - 1 do  -- a retry sets back those that were cancelled, too
    redis.call('HINCRBY', plan, 'bad:' .. s, number('left:' .. s))
    redis.call('HSET', plan, 'left:' .. s, 0)
  end
else
  if not is_round(round) then return 0 end
  for k = 6, #ARGV, 2 do
    local new = set_bits(done_key(round), tonumber(ARGV[k]), math.min(ARGV[k + 1], n))
    if M.plan and new > 0 then ended(stage_of(tonumber(ARGV[k])), 0, new) end
    revoked = revoked + new
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
