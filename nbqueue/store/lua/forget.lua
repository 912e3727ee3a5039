-- Delete a job. A tombstone keeps stragglers from opening it again. ARGV: tombstone_ms.
if not load() then return 0 end
local name = redis.call('HGET', meta, 'name')
each_key(function(key) redis.call('DEL', key) end)
redis.call('DEL', base .. ':tries')
for round = 1, tonumber(M.round) do redis.call('DEL', base .. ':retries:' .. round, base .. ':recalls:' .. round) end
hand_over()
redis.call('ZREM', 'nbq:jobs', job)
redis.call('ZREM', 'nbq:active', job)
if redis.call('HGET', 'nbq:names', name) == job then redis.call('HDEL', 'nbq:names', name) end
redis.call('HSET', meta, 'gone', 1)
redis.call('PEXPIRE', meta, ARGV[1])
return 1
