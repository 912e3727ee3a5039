-- Open a single call's job, record its outcome and end it, in one go: what open.lua and commit.lua
-- do in two, for the case that makes a quick call's latency. Stands alone, without common.lua, which
-- takes as long to get ready as half of this takes to run. ARGV: kind, body, sig, state, now,
-- expire_ms, and as open_job in common.lua. Returns as commit does, or nothing when the job is open
-- already or was forgotten: then commit knows what to do.
local base, call, A = KEYS[1], redis.call, ARGV
local meta, log, done = base .. ':meta', base .. ':log', base .. ':done:1'
if call('EXISTS', meta) == 1 then return false end
local job, name, submitted, origin = string.match(base, '{(.*)}'), A[10], A[12], A[13]
call('XADD', log, '*', 'k', 'opened', 'b', A[7], 's', A[8])
local id = call('XADD', log, '*', 'k', A[1], 'b', A[2], 's', A[3])
call('XADD', log, '*', 'k', 'finished', 'b', '{"v":1,"at":' .. A[5] .. '}', 's', '')
local success = A[4] == '\3' and 1 or 0
local text = job .. ' 0-0 ' .. id .. ' ' .. A[1] .. ' ' .. #A[3] .. '\n'
if #A[2] <= 8192 then text = text .. A[3] .. A[2] end
call('PUBLISH', origin, text)
call('SETBIT', done, 0, 1)
call('HSET', meta, 'n', 1, 'left', 0, 'round', 1, 'cancelled', 0, 'success', success,
  'failure', 1 - success, 'origin', origin, 'name', name, 'task', A[11], 'submitted', submitted,
  'finished', A[5], 'call', A[14], 'last', id)
call('ZADD', 'nbq:jobs', submitted, job)
call('HSET', 'nbq:names', name, job)
call('PEXPIRE', meta, A[6])
call('PEXPIRE', log, A[6])
call('PEXPIRE', done, A[6])
return {1, 1, 0, 0}
