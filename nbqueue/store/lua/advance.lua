-- Claim the stages of a workflow about which something is decided, and drop those that are done
-- with. ARGV: claim_ms, a token of the process that claims, then stages and hows that it is done
-- with. Returns {} when there is nothing to do (or another process is at it), else {round, and for
-- each stage: number, how, items, cause, function}. A claim runs out, so a process that dies with it
-- delays the workflow and does not lose it.
local claim = base .. ':claim'
if not load() then
  redis.call('SREM', 'nbq:ready', job)
  return {}
end
local holder = redis.call('GET', claim)
if holder and holder ~= ARGV[2] then return {} end
for k = 3, #ARGV, 2 do
  -- (A retry may have decided anew about a stage meanwhile.)
  if redis.call('HGET', ready, ARGV[k]) == ARGV[k + 1] then redis.call('HDEL', ready, ARGV[k]) end
end
if M.cancelled == '1' then redis.call('DEL', ready) end
local found, reply = redis.call('HGETALL', ready), {tonumber(M.round)}
if #found == 0 then
  redis.call('SREM', 'nbq:ready', job)
  redis.call('DEL', claim)
  return {}
end
redis.call('SET', claim, ARGV[2], 'PX', ARGV[1])
for k = 1, #found, 2 do
  local s = found[k]
  local about = redis.call('HMGET', plan, 'items:' .. s, 'cause:' .. s, 'fn:' .. s)
  for _, value in ipairs({s, found[k + 1], about[1] or '', about[2] or '', about[3] or ''}) do
    table.insert(reply, value)
  end
end
return reply
