-- Claim the messages that are due. KEYS: messages by when they are due. ARGV: now, until when the
-- claim holds, how many at most. Returns {when the next is due or '', message ...}. A claimed message
-- is put off and not taken out, so a process that dies with it delays it and does not lose it.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, message in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], message) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
table.insert(due, 1, first[2] or '')
return due
