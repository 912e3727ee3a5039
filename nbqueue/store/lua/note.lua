-- Append a record that ends nothing (started, progress). ARGV: kind, body, sig.
-- Returns {known, 0, left, cancelled} as commit does.
local known = load()
if M.gone then return {2, 0, 0, 1} end
if not known then return {0, 0, 0, 0} end
if tonumber(M.left) > 0 then
  append(ARGV[1], ARGV[2], ARGV[3])
  save()
end
return {1, 0, tonumber(M.left), tonumber(M.cancelled)}
