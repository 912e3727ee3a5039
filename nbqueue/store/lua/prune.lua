-- Take jobs that have expired out of the lists of jobs. KEYS: jobs by time, latest id by name. ARGV:
-- id, and its name in the second list or '' for each. A name that belongs to another job by now
-- stays. Returns how many entries went.
local gone = 0
for k = 1, #ARGV, 2 do
  local id, name = ARGV[k], ARGV[k + 1]
  if redis.call('EXISTS', 'nbq:{' .. id .. '}:meta') == 0 then
    gone = gone + redis.call('ZREM', KEYS[1], id)
    if name ~= '' and redis.call('HGET', KEYS[2], name) == id then
      gone = gone + redis.call('HDEL', KEYS[2], name)
    end
  end
end
return gone
