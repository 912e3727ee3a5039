-- Record that items are to run again later, and keep the messages that will run them (`later`).
-- ARGV: kind, body, sig, round, for how many seconds to remember, then for each message: when it is
-- due, the message, how many items it has, and for each of those its number and how often it has been
-- retried. An item that is done, or was put off as often before, is left alone, and a message without
-- any other is not kept. Returns {known, newly put off, left, cancelled} as note does.
local known = load()
if M.gone then return {2, 0, 0, 1} end
if not known then return {0, 0, 0, 0} end
local round, total, k = ARGV[4], 0, 6
local retries = base .. ':retries:' .. round
while k <= #ARGV and is_round(tonumber(round)) do
  local n, new = tonumber(ARGV[k + 2]), 0
  for at = k + 3, k + 1 + 2 * n, 2 do
    local item, count = ARGV[at], tonumber(ARGV[at + 1])
    if redis.call('GETBIT', done_key(round), item) == 0
        and tonumber(redis.call('HGET', retries, item) or 0) < count then
      redis.call('HSET', retries, item, count)
      new = new + 1
    end
  end
  if new > 0 then
    redis.call('ZADD', 'nbq:later', ARGV[k], ARGV[k + 1])
    if redis.call('ZRANK', 'nbq:later', ARGV[k + 1]) == 0 then
      redis.call('LPUSH', 'nbq:later:bell', 1)
      redis.call('LTRIM', 'nbq:later:bell', 0, 0)
    end
  end
  total = total + new
  k = k + 3 + 2 * n
end
if total > 0 then
  redis.call('EXPIRE', retries, ARGV[5])
  append(ARGV[1], ARGV[2], ARGV[3])
  save()
end
return {1, total, tonumber(M.left), tonumber(M.cancelled)}
