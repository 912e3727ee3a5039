-- Begin a workflow that follows other jobs, now that one of them has ended. ARGV: their ids.
if not load() or not M.plan then return 0 end
begin(ARGV)
save()
if not M.ready then redis.call('SREM', 'nbq:ready', job) end
return M.ready or 0
