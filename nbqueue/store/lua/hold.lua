-- Open a job whose first message waits until other jobs have ended. ARGV: its envelope, how many
-- jobs it waits for, their ids, and as open_job in common.lua. Returns {1, how many have not ended},
-- {0, id} when one of them is not open (and nothing is done), or {2, 0} when the job was open
-- already. It looks at several jobs, so unlike the others it needs them all in one Redis.
if load() or M.gone then return {2, 0} end
local count, waiting = tonumber(ARGV[2]), {}
for k = 3, 2 + count do
  local other = 'nbq:{' .. ARGV[k] .. '}'
  local left = redis.call('HGET', other .. ':meta', 'left')
  if not left then return {0, ARGV[k]} end
  if tonumber(left) > 0 then table.insert(waiting, other) end
end
open_job({unpack(ARGV, 3 + count)})
set('held', 1)
redis.call('SET', held, ARGV[1])
for _, other in ipairs(waiting) do wait_for(other) end
if #waiting == 0 then redis.call('SADD', 'nbq:ready', job) end
save()
redis.call('ZADD', 'nbq:active', M.submitted, job)
return {1, #waiting}
