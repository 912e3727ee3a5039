-- Renew the leases of the slots that some messages hold. KEYS: the task of each holder. ARGV: now or
-- '', seconds that a lease lasts, holders. (A lease that has ended may be another's by now.)
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1e6
end
for k = 3, #ARGV do
  local task = redis.call('HGET', KEYS[1], ARGV[k])
  if task then
    local slots = 'nbq:slots:' .. task
    redis.call('ZADD', slots, 'XX', string.format('%.6f', now + ARGV[2]), ARGV[k])
  end
end
