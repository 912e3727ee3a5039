-- Append records that end nothing (started, progress, output). ARGV: kind, body, sig of each.
-- Returns {known, 0, left, cancelled} as commit does.
local known = load()
if M.gone then return {2, 0, 0, 1} end
if not known then return {0, 0, 0, 0} end
if tonumber(M.left) > 0 then
  for k = 1, #ARGV, 3 do append(ARGV[k], ARGV[k + 1], ARGV[k + 2]) end
  save()
end
return {1, 0, tonumber(M.left), tonumber(M.cancelled)}
