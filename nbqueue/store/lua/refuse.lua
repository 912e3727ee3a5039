-- Make sure that a job never is, whose client cannot say whether its message was sent. ARGV:
-- tombstone_ms. Returns 1 when it is there already: then somebody has the message, and it goes on.
if load() then return 1 end
redis.call('DEL', args)
redis.call('HSET', meta, 'gone', 1)
redis.call('PEXPIRE', meta, ARGV[1])
return 0
