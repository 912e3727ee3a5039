-- Note that a message is not being run any more: what was put aside of it is due. KEYS: its lease,
-- messages that were put aside by when to look at them. ARGV: id of the message, which delivery of it.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[2], 'XX', 0, ARGV[1])
