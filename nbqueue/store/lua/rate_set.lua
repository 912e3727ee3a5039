-- Set a task's rate from outside. KEYS: rates, messages that are paced by it, messages by when they
-- are due, the bell, its limits. ARGV: task, items a second or '' to set none. Whoever was told to
-- wait by the old rate asks again now.
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('HDEL', KEYS[5], 'promised')
for _, message in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if redis.call('ZSCORE', KEYS[3], message) then redis.call('ZADD', KEYS[3], 0, message) end
end
redis.call('DEL', KEYS[2])
redis.call('LPUSH', KEYS[4], 1)
redis.call('LTRIM', KEYS[4], 0, 0)
