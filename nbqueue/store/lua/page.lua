-- Read records in order. ARGV: the first entry's id as XRANGE takes it, most entries, and of how many
-- bytes the last one may be: whoever reads has to hold them all, and some records are large. Returns
-- entries as XRANGE does.
local found, bytes, from = {}, 0, ARGV[1]
repeat
  local some = redis.call('XRANGE', log, from, '+', 'COUNT', 4)
  for _, entry in ipairs(some) do
    table.insert(found, entry)
    for _, part in ipairs(entry[2]) do bytes = bytes + #part end
    if bytes >= tonumber(ARGV[3]) then return found end
    from = '(' .. entry[1]
  end
until #some < 4 or #found >= tonumber(ARGV[2])
return found
