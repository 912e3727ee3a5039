-- See which messages are in some queues and in workers' hands, at one moment. KEYS: the messages that
-- are held, then the lists of which the queues consist. ARGV: how many lists each queue has, how many
-- messages of a queue are looked at. Returns {what is held, and for each queue: 1 if it was seen whole,
-- what was seen}. Of a longer queue that is the next message of each list. A message is seen as job,
-- start, stop and id, in a row, from the description in its header (`core.description`).
local lists, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local function note(found, message)
  local at = string.find(message, '"argsrepr": "', 1, true)
  if not at then return end
  local a, b, job = string.match(message, '^[^\n]-%[(%d+):(%d+)%] of job ([0-9a-z-]+)"', at + 13)
  if not job then return end
  table.insert(found, job)
  table.insert(found, a)
  table.insert(found, b)
  table.insert(found, string.match(message, '"id": "([0-9a-f-]+)"') or '')
end

local held = {}
for _, message in ipairs(redis.call('HVALS', KEYS[1])) do note(held, message) end
local reply = {held}
for first = 2, #KEYS, lists do
  local length, found = 0, {}
  for k = first, first + lists - 1 do length = length + redis.call('LLEN', KEYS[k]) end
  for k = first, first + lists - 1 do
    local from = length > most and -1 or 0
    for _, message in ipairs(redis.call('LRANGE', KEYS[k], from, -1)) do note(found, message) end
  end
  table.insert(reply, length > most and 0 or 1)
  table.insert(reply, found)
end
return reply
