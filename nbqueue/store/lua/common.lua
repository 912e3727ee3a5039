-- Loaded in front of every script of this folder. KEYS[1] is the job's base key ("nbq:{id}");
-- the others are derived from it, so one script call cannot touch two jobs.
local base = KEYS[1]
local meta, log, args = base .. ':meta', base .. ':log', base .. ':args'
local job = string.match(base, '{(.*)}')
local INLINE = 8192  -- larger records are fetched from the log, not pushed with the bell

local function done_key(round) return base .. ':done:' .. round end

-- Append a record and ring the bell. The bell names the entry before, so that a follower that has
-- read up to there may take the record from the bell itself and save a round trip.
-- Records that tell the job's own client nothing (`quiet`) ring no bell, and no bell names them.
local function append(kind, body, sig, quiet)
  local id = redis.call('XADD', log, '*', 'k', kind, 'b', body, 's', sig)
  if quiet then return end
  local prev = redis.call('HGET', meta, 'last') or '0-0'
  redis.call('HSET', meta, 'last', id)
  local text = job .. ' ' .. prev .. ' ' .. id .. ' ' .. kind .. ' ' .. #sig .. '\n'
  if #body <= INLINE then text = text .. sig .. body end
  redis.call('PUBLISH', redis.call('HGET', meta, 'origin'), text)
  redis.call('PUBLISH', 'nbq:bell:job:' .. job, text)
end

local function each_key(f)
  f(meta); f(log); f(args); f(base .. ':tries')
  for round = 1, tonumber(redis.call('HGET', meta, 'round')) do f(done_key(round)) end
end

-- The last item is recorded: say so, and let the job's keys expire together.
local function finish(now, expire_ms)
  append('finished', '{"v":1,"at":' .. now .. '}', '', true)
  redis.call('HSET', meta, 'finished', now)
  redis.call('ZREM', 'nbq:active', job)
  each_key(function(key) redis.call('PEXPIRE', key, expire_ms) end)
end

-- Set bits [a, b) of a bitmap and return how many were unset. Whole bytes go in one command when
-- all of them are zero, which is every range that was not run twice.
local function set_bits(key, a, b)
  local new = 0
  local function one_by_one(from, to)
    for i = from, to - 1 do
      if redis.call('SETBIT', key, i, 1) == 0 then new = new + 1 end
    end
  end
  local first, last = math.ceil(a / 8), math.floor(b / 8)
  if first >= last then one_by_one(a, b) return new end
  one_by_one(a, first * 8)
  if string.find(redis.call('GETRANGE', key, first, last - 1), '[^%z]') then
    one_by_one(first * 8, last * 8)
  else
    redis.call('SETRANGE', key, first, string.rep('\255', last - first))
    new = new + (last - first) * 8
  end
  one_by_one(last * 8, b)
  return new
end

-- Make the job exist. a: body, sig, n, name, task, submitted, origin channel, now, expire_ms, sealed
-- arguments of a single call or ''. Returns 0 when it was there already (or was forgotten).
local function open_job(a)
  if redis.call('EXISTS', meta) == 1 then return 0 end
  redis.call('HSET', meta, 'n', a[3], 'left', a[3], 'round', 1, 'name', a[4], 'task', a[5],
    'submitted', a[6], 'origin', a[7], 'cancelled', 0)
  if #a[10] > 0 then redis.call('HSET', args, '0', a[10]) end
  redis.call('PERSIST', args)  -- blocks uploaded before the job was accepted were on probation
  redis.call('ZADD', 'nbq:jobs', a[6], job)
  redis.call('HSET', 'nbq:names', a[4], job)
  append('opened', a[1], a[2], true)
  if tonumber(a[3]) == 0 then finish(a[8], a[9]) else redis.call('ZADD', 'nbq:active', a[6], job) end
  return 1
end
