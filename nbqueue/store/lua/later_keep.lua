-- Keep a message until it is due. KEYS: messages by when they are due, the bell. ARGV: due, message.
-- One that is kept already is due at the new time. Whoever waits for the next one to be due hears of
-- an earlier one.
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
if redis.call('ZRANK', KEYS[1], ARGV[2]) == 0 then
  redis.call('LPUSH', KEYS[2], 1)
  redis.call('LTRIM', KEYS[2], 0, 0)
end
