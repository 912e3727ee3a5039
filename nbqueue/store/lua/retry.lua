-- Open the next round for items that failed. ARGV: body, sig, round, now, task, then runs a, b ...
-- A round's bitmap begins with every bit set but those of its items. Returns how many items were
-- set back; 0 when another client was faster (the round exists already), -1 when the job is unknown.
local m = redis.call('HMGET', meta, 'left', 'n', 'round')
if not m[1] then return -1 end
local round = tonumber(ARGV[3])
if tonumber(m[3]) ~= round - 1 then return 0 end
local done, count = done_key(round), 0
redis.call('SET', done, string.rep('\255', math.ceil(tonumber(m[2]) / 8)))
for k = 6, #ARGV, 2 do
  for i = tonumber(ARGV[k]), tonumber(ARGV[k + 1]) - 1 do
    redis.call('SETBIT', done, i, 0)
    count = count + 1
  end
end
redis.call('HSET', meta, 'round', round, 'left', tonumber(m[1]) + count, 'cancelled', 0,
  'task', ARGV[5])
redis.call('HINCRBY', meta, 'failure', -count)
redis.call('HDEL', meta, 'finished')
redis.call('ZADD', 'nbq:active', ARGV[4], job)
each_key(function(key) redis.call('PERSIST', key) end)
append('retried', ARGV[1], ARGV[2])
return count
