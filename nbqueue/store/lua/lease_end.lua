-- Put a message that is held back into its queue. KEYS: as lease_renew, then the list that it belongs
-- into. ARGV: tag, until when it was claimed or '' (then it is its holder that gives it back), LPUSH
-- to be the last one or RPUSH to be the next, the message with another tag. Returns 1, or 0 when it
-- is held no more, or its holder has renewed its lease meanwhile.
local tag = ARGV[1]
if ARGV[2] ~= '' and tonumber(redis.call('ZSCORE', KEYS[1], tag) or -1) ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZREM', KEYS[1], tag)
if redis.call('HDEL', KEYS[2], tag) == 0 then return 0 end
redis.call(ARGV[3], KEYS[3], ARGV[4])
return 1
