-- Loaded in front of every script of this folder. KEYS[1] is the job's base key ("nbq:{id}");
-- the others are derived from it, so one script call cannot touch two jobs. A script reads `meta`
-- once (`load`) and writes it once (`save`): each redis.call costs microseconds, and a quick call's
-- latency is made of them.
local base = KEYS[1]
local meta, log, args = base .. ':meta', base .. ':log', base .. ':args'
local held, followers = base .. ':held', base .. ':then'
local plan, ready = base .. ':plan', base .. ':ready'
local job = string.match(base, '{(.*)}')
local INLINE = 8192  -- larger records are fetched from the log, not pushed with the bell
local FIELDS = {'n', 'left', 'round', 'cancelled', 'success', 'failure', 'revoked', 'last',
  'origin', 'watched', 'blocks', 'gone', 'held', 'then', 'plan', 'expires', 'said'}
local M, changed = {}, {}
local ended, recorded  -- of a workflow's stage; see stages.lua

local function done_key(round) return base .. ':done:' .. round end

-- Read meta. False when the job is not open (yet), or was forgotten (M.gone).
local function load()
  local found = redis.call('HMGET', meta, unpack(FIELDS))
  for i, name in ipairs(FIELDS) do M[name] = found[i] or nil end
  return M.left ~= nil
end

local function set(name, value)
  M[name] = value
  changed[name] = value
end

local function add(name, count)
  if count ~= 0 then set(name, tonumber(M[name] or 0) + count) end
end

local function save()
  local flat = {}
  for name, value in pairs(changed) do
    table.insert(flat, name)
    table.insert(flat, value)
  end
  if #flat > 0 then redis.call('HSET', meta, unpack(flat)) end
end

-- Append a record and ring the bell. The bell names the entry before, so that a follower that has
-- read up to there may take the record from the bell itself and save a round trip.
-- Records that tell the job's own client nothing (`quiet`) ring no bell, and no bell names them.
local function append(kind, body, sig, quiet)
  local id = redis.call('XADD', log, '*', 'k', kind, 'b', body, 's', sig)
  if quiet then return end
  local text = job .. ' ' .. (M.last or '0-0') .. ' ' .. id .. ' ' .. kind .. ' ' .. #sig .. '\n'
  if #body <= INLINE then text = text .. sig .. body end
  redis.call('PUBLISH', M.origin, text)
  if M.watched then redis.call('PUBLISH', 'nbq:bell:job:' .. job, text) end
  set('last', id)
end

local function each_key(f)
  f(meta); f(log); f(base .. ':passed')
  if M.blocks then f(args) end
  if M.held then f(held) end
  if M.plan then f(plan) f(ready) end
  for round = 1, tonumber(M.round) do f(done_key(round)) end
end

-- Have the end of another job put this one into nbq:ready.
local function wait_for(other)
  redis.call('HSET', other .. ':meta', 'then', 1)
  redis.call('SADD', other .. ':then', job)
end

-- Hand over the jobs that wait for this one's end; whoever ended it looks at them (`claim`).
local function hand_over()
  if not M['then'] then return end
  redis.call('SUNIONSTORE', 'nbq:ready', 'nbq:ready', followers)
  redis.call('DEL', followers)
  redis.call('HDEL', meta, 'then')
  M.ready = 1
end

-- The last item is recorded: say so, and let the job's keys expire together. Call `save` before.
local function finish(now, expire_ms)
  expire_ms = M.expires or expire_ms
  append('finished', '{"v":1,"at":' .. now .. '}', '', true)
  redis.call('ZREM', 'nbq:active', job)
  hand_over()
  each_key(function(key) redis.call('PEXPIRE', key, expire_ms) end)
end

local function is_round(round) return round >= 1 and round <= tonumber(M.round) end

-- Set bits [a, b) of a bitmap and return how many were unset; with a list `fresh`, also put which
-- those were into it, as a, b, a, b ... Whole bytes go in one command when all of them are zero,
-- which is every range that was not run twice.
local function set_bits(key, a, b, fresh)
  local new = 0
  local function note(from, to)
    new = new + to - from
    if fresh then
      table.insert(fresh, from)
      table.insert(fresh, to)
    end
  end
  local function one_by_one(from, to)
    for i = from, to - 1 do
      if redis.call('SETBIT', key, i, 1) == 0 then note(i, i + 1) end
    end
  end
  local first, last = math.ceil(a / 8), math.floor(b / 8)
  if first >= last then one_by_one(a, b) return new end
  one_by_one(a, first * 8)
  if string.find(redis.call('GETRANGE', key, first, last - 1), '[^%z]') then
    one_by_one(first * 8, last * 8)
  else
    redis.call('SETRANGE', key, first, string.rep('\255', last - first))
    note(first * 8, last * 8)
  end
  one_by_one(last * 8, b)
  return new
end

-- Make the job exist. a: body, sig, n, name, task, submitted, origin channel, sealed arguments of a
-- single call or '', 1 when there are argument blocks. The caller has found that it is not there,
-- and calls `save`.
local function open_job(a)
  for i, name in ipairs({'n', 'name', 'task', 'submitted', 'origin'}) do set(name, a[i + 2]) end
  set('left', a[3])
  set('round', 1)
  set('cancelled', 0)
  if #a[8] > 0 then set('call', a[8]) end
  if #a[9] > 0 then
    set('blocks', 1)
    redis.call('PERSIST', args)  -- blocks uploaded before the job was accepted were on probation
  end
  redis.call('ZADD', 'nbq:jobs', a[6], job)
  redis.call('HSET', 'nbq:names', a[4], job)
  -- In the record's JSON; a text in it that says the same has a backslash before its quote.
  local expires = string.match(a[1], ',"result_expires":([%d.]+)')
  if expires then set('expires', math.floor(tonumber(expires) * 1000)) end
  append('opened', a[1], a[2], true)
end
