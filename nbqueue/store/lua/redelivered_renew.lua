-- Begin or renew the leases of messages that are being run. KEYS: their leases. ARGV: how long those
-- last in ms, and for each which delivery of the message that is. Another one's lease is left alone.
for k, lease in ipairs(KEYS) do
  local holder = redis.call('GET', lease)
  if not holder or holder == ARGV[k + 1] then
    redis.call('SET', lease, ARGV[k + 1], 'PX', ARGV[1])
  end
end
