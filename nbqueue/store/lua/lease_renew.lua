-- Renew the leases of messages that their holder still works on. KEYS: messages by when their leases
-- end, the messages. ARGV: now or '' (then by Redis's clock), seconds that a lease lasts, tags. What
-- was put back into its queue meanwhile is not taken again.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
local ends = string.format('%.6f', now + ARGV[2])
for k = 3, #ARGV do redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[k]) end
