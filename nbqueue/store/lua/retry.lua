-- Open the next round for items that failed, or of a workflow were cancelled. ARGV: body, sig, round,
-- now, task, how many were cancelled, how many stages of a workflow follow, for each its number, how many of its items are meant and its function or '', then
-- runs a, b ... A round's bitmap begins with every bit set but those of its items. Returns how many
-- items were set back; 0 when another client was faster (the round exists already), -1 when the job
-- is unknown.
if not load() then return -1 end
local round = tonumber(ARGV[3])
if tonumber(M.round) ~= round - 1 then return 0 end
local done, count, stages = done_key(round), 0, tonumber(ARGV[7])
redis.call('SET', done, string.rep('\255', math.ceil(tonumber(M.n) / 8)))
for k = 8 + 3 * stages, #ARGV, 2 do
  for i = tonumber(ARGV[k]), tonumber(ARGV[k + 1]) - 1 do
    redis.call('SETBIT', done, i, 0)
    count = count + 1
  end
end
set('round', round)
set('cancelled', 0)
set('task', ARGV[5])
add('left', count)
add('failure', tonumber(ARGV[6]) - count)
add('revoked', -tonumber(ARGV[6]))
append('retried', ARGV[1], ARGV[2])
for k = 8, 5 + 3 * stages, 3 do again(ARGV[k], ARGV[k + 1], ARGV[k + 2]) end
if M.plan then reconsider() end
save()
redis.call('HDEL', meta, 'finished')
redis.call('ZADD', 'nbq:active', ARGV[4], job)
each_key(function(key) redis.call('PERSIST', key) end)
return count
