-- Loaded in front of every script of this folder. KEYS[1] is the job's base key ("nbq:{id}");
-- the others are derived from it, so one script call cannot touch two jobs.
local base = KEYS[1]
local meta, log, args = base .. ':meta', base .. ':log', base .. ':args'
local job = string.match(base, '{(.*)}')
local INLINE = 8192  -- larger records are fetched from the log, not pushed with the bell

local function done_key(round) return base .. ':done:' .. round end

-- Append a record and ring the bell. The bell names the entry before, so that a follower that has
-- read up to there may take the record from the bell itself and save a round trip.
local function append(kind, body, sig)
  local prev = redis.call('HGET', meta, 'last') or '0-0'
  local id = redis.call('XADD', log, '*', 'k', kind, 'b', body, 's', sig)
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
  append('finished', '{"v":1,"at":' .. now .. '}', '')
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
