-- The stages of a workflow. Loaded behind common.lua, in front of the scripts that can end items of
-- one. What the plan says is in the hash `plan`, by number of stage (s):
--   items:s  start and stop of its items          left:s   how many of them have not ended
--   bad:s    how many have failed                 waits:s  stages that must still succeed before it
--   after:s  those stages, but of an errback none
--   then:s   stages that wait for it              else:s   its errbacks
--   st:s     go or doomed, once that is decided   cause:s  the stage whose failure decided it
--   from:s, to:s  where in the log its outcomes are        fn:s     its function, after a retry
-- and `first`, the stages that wait for none. What is decided is put into the hash `ready` (s -> how
-- and round) and the job into `nbq:ready`; whoever did it then sends or records it (`plans`).
local go, doom

local function number(field) return tonumber(redis.call('HGET', plan, field) or 0) end

local function each_of(field, f)
  for s in string.gmatch(redis.call('HGET', plan, field) or '', '%d+') do f(s) end
end

local function release(s, how)
  redis.call('HSET', ready, s, how .. ':' .. M.round)
  redis.call('SADD', 'nbq:ready', job)
  M.ready = 1
end

-- Append items to the job for a stage that has none yet.
local function grow(s, count)
  local start = tonumber(M.n)
  local stop = start + count
  redis.call('HSET', plan, 'items:' .. s, start .. ' ' .. stop, 'left:' .. s, count)
  -- A retry or a cancellation may have filled the last byte of the bitmap.
  for i = start, math.min(stop, math.ceil(start / 8) * 8) - 1 do
    redis.call('SETBIT', done_key(M.round), i, 0)
  end
  set('n', stop)
  add('left', count)
  append('expanded', '{"v":1,"stage":' .. s .. ',"start":' .. start .. ',"stop":' .. stop .. '}', '')
end

local function succeed(s)
  each_of('then:' .. s, function(d)
    if redis.call('HINCRBY', plan, 'waits:' .. d, -1) == 0 then go(d) end
  end)
end

go = function(s)
  if redis.call('HSETNX', plan, 'st:' .. s, 'go') == 0 then return end
  if number('left:' .. s) == 0 then succeed(s) else release(s, 'go') end
end

local function fail(s, cause)
  each_of('else:' .. s, function(e)
    if redis.call('HSETNX', plan, 'st:' .. e, 'go') == 0 then return end
    redis.call('HSET', plan, 'cause:' .. e, cause)
    grow(e, 1)
    release(e, 'go')
  end)
  each_of('then:' .. s, function(d) doom(d, cause) end)
end

doom = function(s, cause)
  if redis.call('HSETNX', plan, 'st:' .. s, 'doomed') == 0 then return end
  redis.call('HSET', plan, 'cause:' .. s, cause)
  if number('left:' .. s) > 0 then release(s, 'doomed') end
  fail(s, cause)
end

-- Items of a stage have ended. To be called before their record is appended: a reader must know of
-- items that begin because others end before it thinks that all are over.
ended = function(s, good, bad)
  local left = redis.call('HINCRBY', plan, 'left:' .. s, -(good + bad))
  if bad > 0 and redis.call('HINCRBY', plan, 'bad:' .. s, bad) == bad then fail(s, s) end
  if left == 0 and number('bad:' .. s) == 0 then succeed(s) end
end

-- Remember where the record of a stage's outcomes is.
recorded = function(s)
  redis.call('HSETNX', plan, 'from:' .. s, M.last)
  redis.call('HSET', plan, 'to:' .. s, M.last)
end

local function stage_of(i)
  local found = redis.call('HGETALL', plan)
  for k = 1, #found, 2 do
    local s = string.match(found[k], '^items:(%d+)$')
    if s then
      local a, b = string.match(found[k + 1], '(%d+) (%d+)')
      if tonumber(a) <= i and i < tonumber(b) then return s end
    end
  end
end

-- Begin the first stages, if the jobs that the workflow is to follow have ended, and well.
local function begin(others)
  local cause
  for _, id in ipairs(others) do
    local other = redis.call('HMGET', 'nbq:{' .. id .. '}:meta', 'left', 'failure', 'revoked')
    if other[1] and tonumber(other[1]) > 0 then
      wait_for('nbq:{' .. id .. '}')  -- it may have ended, and been retried since
      return
    end
    if not other[1] or tonumber(other[2] or 0) + tonumber(other[3] or 0) > 0 then
      cause = cause or ('job ' .. id)
    end
  end
  each_of('first', function(s) if cause then doom(s, cause) else go(s) end end)
end

-- Failed items of a stage are to run again, with another function perhaps.
local function again(s, count, address)
  redis.call('HINCRBY', plan, 'left:' .. s, count)
  redis.call('HINCRBY', plan, 'bad:' .. s, -count)
  redis.call('HDEL', plan, 'st:' .. s, 'cause:' .. s)
  redis.call('HDEL', ready, s)
  if #address > 0 then redis.call('HSET', plan, 'fn:' .. s, address) end
end

local function has_succeeded(s)
  return redis.call('HGET', plan, 'st:' .. s) == 'go' and number('left:' .. s) == 0
    and number('bad:' .. s) == 0
end

-- Decide anew about all stages about which nothing is decided any more.
local function reconsider()
  local open = {}
  for s = 0, tonumber(M.plan) - 1 do
    local st = redis.call('HGET', plan, 'st:' .. s)
    if st == 'doomed' then redis.call('HDEL', plan, 'st:' .. s, 'cause:' .. s) end
    if st ~= 'go' then table.insert(open, s) end
  end
  for _, s in ipairs(open) do
    local waits = 0
    each_of('after:' .. s, function(a) if not has_succeeded(a) then waits = waits + 1 end end)
    redis.call('HSET', plan, 'waits:' .. s, waits)
    local rescues = not redis.call('HGET', plan, 'after:' .. s)
    if waits == 0 and (not rescues or number('left:' .. s) > 0) then go(s) end
  end
end
