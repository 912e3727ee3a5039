-- Give a stage that grows its items; a repetition changes nothing. ARGV: stage, how many. Returns
-- the first item's number, or -1 when the workflow is not there or was cancelled.
if not load() or not M.plan or M.cancelled == '1' then return -1 end
local items = redis.call('HGET', plan, 'items:' .. ARGV[1])
if not items then
  grow(ARGV[1], tonumber(ARGV[2]))
  save()
  items = redis.call('HGET', plan, 'items:' .. ARGV[1])
end
return tonumber(string.match(items, '%d+'))
