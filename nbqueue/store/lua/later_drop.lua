-- Take out messages that were sent. KEYS: messages by when they are due. ARGV: until when their claim
-- holds, message ... One that was put off again since then has another time, and stays.
for k = 2, #ARGV do
  local due = redis.call('ZSCORE', KEYS[1], ARGV[k])
  if due and tonumber(due) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[k]) end
end
