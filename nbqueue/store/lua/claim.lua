-- Claim the held message of a job of which a job that it waited for has ended. ARGV: claim_ms, then
-- the ids of the jobs it waits for. Returns {} when there is nothing to do (others have not ended,
-- or another process is at it), else {envelope, ids of those that did not succeed ...}. The claim
-- runs out, so a process that dies with it delays the job and does not lose it.
load()
local found = {}
for k = 2, #ARGV do
  local other = redis.call('HMGET', 'nbq:{' .. ARGV[k] .. '}:meta', 'left', 'failure', 'revoked')
  if other[1] and tonumber(other[1]) > 0 then
    redis.call('SREM', 'nbq:ready', job)
    wait_for('nbq:{' .. ARGV[k] .. '}')  -- it may have ended, and been retried since
    return {}
  end
  if not other[1] or tonumber(other[2] or 0) + tonumber(other[3] or 0) > 0 then
    table.insert(found, ARGV[k])
  end
end
local envelope = redis.call('GET', held)
if not envelope then
  redis.call('SREM', 'nbq:ready', job)
  return {}
end
if not redis.call('SET', base .. ':claim', 1, 'NX', 'PX', ARGV[1]) then return {} end
table.insert(found, 1, envelope)
return found
