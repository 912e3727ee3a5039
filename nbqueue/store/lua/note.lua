-- Append a record that ends nothing (started, progress). ARGV: kind, body, sig.
-- Returns {known, 0, left, cancelled} as commit does.
local m = redis.call('HMGET', meta, 'left', 'cancelled', 'gone')
if m[3] then return {2, 0, 0, 1} end
if not m[1] then return {0, 0, 0, 0} end
if m[1] ~= '0' then append(ARGV[1], ARGV[2], ARGV[3]) end
return {1, 0, tonumber(m[1]), tonumber(m[2])}
