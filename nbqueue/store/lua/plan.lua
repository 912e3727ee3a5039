-- Open a workflow and begin it. ARGV: planned record, its signature, how many stages, then for each
-- items ("start stop", or ''), left, waits, after ('-' of an errback: when all is well it never
-- begins), then, else; the stages that wait for none; how many
-- other jobs it follows, their ids; and as open_job in common.lua. Returns {1, 1 when there is
-- something to send}, {0, id} when one of the jobs is not open (and nothing is done), or {2, 0} when
-- the workflow was open already.
if load() or M.gone then return {2, 0} end
local at, others = 4 + 6 * tonumber(ARGV[3]), {}
for k = at + 2, at + 1 + tonumber(ARGV[at + 1]) do
  local left = redis.call('HGET', 'nbq:{' .. ARGV[k] .. '}:meta', 'left')
  if not left then return {0, ARGV[k]} end
  table.insert(others, ARGV[k])
  if tonumber(left) > 0 then wait_for('nbq:{' .. ARGV[k] .. '}') end
end
open_job({unpack(ARGV, at + 2 + #others)})
set('plan', ARGV[3])
append('planned', ARGV[1], ARGV[2], true)
for s = 0, tonumber(ARGV[3]) - 1 do
  local k = 4 + 6 * s
  redis.call('HSET', plan, 'left:' .. s, ARGV[k + 1], 'waits:' .. s, ARGV[k + 2],
    'then:' .. s, ARGV[k + 4], 'else:' .. s, ARGV[k + 5])
  if ARGV[k + 3] ~= '-' then redis.call('HSET', plan, 'after:' .. s, ARGV[k + 3]) end
  if #ARGV[k] > 0 then redis.call('HSET', plan, 'items:' .. s, ARGV[k]) end
end
redis.call('HSET', plan, 'first', ARGV[at])
begin(others)
save()
redis.call('ZADD', 'nbq:active', M.submitted, job)
return {1, M.ready or 0}
