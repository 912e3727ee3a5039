-- Take tokens out of a task's bucket. KEYS: its limits, rates set from outside, messages that wait.
-- ARGV: now or '' (then by Redis's clock), task, items a second that the asker's job allows, when
-- that job was submitted, tokens wanted, 1 when the asker has waited for its turn, seconds' worth
-- that the bucket holds, longest wait. Returns {tokens given, when to ask for more or ''}.
-- `promised` is until when the tokens to come are spoken for by those who wait; it orders them and
-- gives them nothing. The job submitted last says what the rate is, and `rates` overrules it.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local rate, since, wanted = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local found = redis.call('HMGET', KEYS[1], 'rate', 'rate_since', 'tokens', 'at', 'promised')
if found[1] and tonumber(found[2]) > since then
  rate, since = tonumber(found[1]), tonumber(found[2])
end
local set = redis.call('HGET', KEYS[2], ARGV[2])
local used = set and tonumber(set) or rate
if used <= 0 then return {wanted, ''} end
local holds = math.max(1, used * ARGV[7])
local tokens = tonumber(found[3] or holds) + (now - tonumber(found[4] or now)) * used
tokens = math.max(0, math.min(tokens, holds))
local promised = tonumber(found[5] or now)
if tokens >= holds or promised < now then promised = now end  -- nobody came for what was promised
local given = math.min(wanted, math.floor(tokens + 1e-6))
tokens = math.max(0, tokens - given)
local due = ''
if given < wanted then
  local more = math.min(wanted - given, math.max(1, math.floor(holds / 2)))
  if (given == 0 and ARGV[6] == '1') or promised == now then
    due = now + (more - tokens) / used
    promised = math.max(promised, due)
  else
    due = promised + more / used
    promised = due
  end
  local longest = math.max(tonumber(ARGV[8]), redis.call('ZCARD', KEYS[3]) / 50)
  due = string.format('%.6f', math.min(due, now + longest))
end
redis.call('HSET', KEYS[1], 'rate', rate, 'rate_since', string.format('%.6f', since),
  'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', now),
  'promised', string.format('%.6f', promised))
redis.call('EXPIRE', KEYS[1], 86400)
return {given, due}
