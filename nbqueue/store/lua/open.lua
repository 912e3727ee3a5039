-- Make a job exist. Client and worker may both call it (the message is the acceptance, whoever
-- comes first opens), so a second call changes nothing. ARGV: now, expire_ms, and as open_job in
-- common.lua. Returns 1 when the job was opened, 0 when it was there already (or was forgotten).
if load() or M.gone then return 0 end
local now, expire_ms = table.remove(ARGV, 1), table.remove(ARGV, 1)
open_job(ARGV)
if tonumber(M.n) == 0 then
  set('finished', now)
  save()
  finish(now, expire_ms)
else
  save()
  redis.call('ZADD', 'nbq:active', ARGV[6], job)
end
return 1
