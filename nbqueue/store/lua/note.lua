-- Append records that end nothing (started, progress, output). ARGV: ids of entries that these make
-- superfluous, how many bytes of outputs a job may have, and kind, body, sig of each record. Returns
-- {known, 0, left, cancelled} as commit does, 0, the ids of the new entries, and 1 when an output was
-- left out for there are too many.
local known = load()
if M.gone then return {2, 0, 0, 1} end
if not known then return {0, 0, 0, 0} end
local ids, full = {}, 0
if tonumber(M.left) > 0 then
  for k = 3, #ARGV, 3 do
    local size = ARGV[k] == 'output' and #ARGV[k + 1] or 0
    if size > 0 and tonumber(M.said or 0) + size > tonumber(ARGV[2]) then
      full = 1
    else
      add('said', size)
      append(ARGV[k], ARGV[k + 1], ARGV[k + 2])
      table.insert(ids, M.last)
    end
  end
  -- Behind what takes their place, so that a reader never is further than the log's end.
  for id in string.gmatch(ARGV[1], '%S+') do redis.call('XDEL', log, id) end
  save()
end
return {1, 0, tonumber(M.left), tonumber(M.cancelled), 0, table.concat(ids, ' '), full}
