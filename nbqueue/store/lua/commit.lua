-- Record how items ended, each once. ARGV: how many arguments of open_job follow (10 or 0), those,
-- then kind, body, sig, round, states, now, expire_ms, and the runs as a, b, a, b ... `states` is one byte a state code an item, or a single byte when all items
-- share it. Returns {known, newly recorded, left, cancelled}; known = 0 means the job is not open
-- (yet) and the arguments to open it were not given.
local opening = {}
for _ = 1, tonumber(table.remove(ARGV, 1)) do table.insert(opening, table.remove(ARGV, 1)) end
if #opening > 0 then open_job(opening) end
local m = redis.call('HMGET', meta, 'left', 'cancelled', 'n', 'gone')
if m[4] then return {2, 0, 0, 1} end
if not m[1] then return {0, 0, 0, 0} end
local left, n, done = tonumber(m[1]), tonumber(m[3]), done_key(ARGV[4])
local states, total = ARGV[5], 0
local counts = {[3] = 0, [4] = 0}
local at = 0
for k = 8, #ARGV, 2 do
  local a, b = tonumber(ARGV[k]), math.min(tonumber(ARGV[k + 1]), n)
  if #states == 1 then
    local new = set_bits(done, a, b)
    counts[string.byte(states)] = counts[string.byte(states)] + new
    total = total + new
  else
    for i = a, b - 1 do
      at = at + 1
      if redis.call('SETBIT', done, i, 1) == 0 then
        total = total + 1
        local code = string.byte(states, at)
        counts[code] = (counts[code] or 0) + 1
      end
    end
  end
end
if total == 0 then return {1, 0, left, tonumber(m[2])} end
append(ARGV[1], ARGV[2], ARGV[3])
left = left - total
redis.call('HSET', meta, 'left', left)
if counts[3] > 0 then redis.call('HINCRBY', meta, 'success', counts[3]) end
if counts[4] > 0 then redis.call('HINCRBY', meta, 'failure', counts[4]) end
if left == 0 then finish(ARGV[6], ARGV[7]) end
return {1, total, left, tonumber(m[2])}
