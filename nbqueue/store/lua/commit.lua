-- Record how items ended, each once. ARGV: kind, body, sig, round, states, now, expire_ms, stage of a
-- workflow or '', how many arguments of open_job follow (9 or 0), those, and the runs as a, b, a, b
-- ... `states` is one byte a state code an item, or a single byte when all items share it. Returns
-- {known, newly recorded, left, cancelled}, and 1 when others may begin because of it; known = 0
-- means the job is not open (yet) and the arguments to open it were not given; known = 2, that it
-- was forgotten; known = 3, that some of the items are recorded already and others are not: then
-- nothing was done, and whoever has signed the record has to leave out those that are.
local known = load()
if M.gone then return {2, 0, 0, 1} end
local stage, opening, opened = ARGV[8], tonumber(ARGV[9]), false
if not known then
  if opening == 0 then return {0, 0, 0, 0} end
  open_job({unpack(ARGV, 10, 9 + opening)})
  opened = true
end
local n, done, codes, total, at = tonumber(M.n), done_key(ARGV[4]), ARGV[5], 0, 0
local counts, named, fresh = {[3] = 0, [4] = 0}, 0, {}
-- (The round of a rejection is what a stranger's message claimed.)
for k = 10 + opening, is_round(tonumber(ARGV[4])) and #ARGV or 0, 2 do
  local a, b = tonumber(ARGV[k]), math.min(tonumber(ARGV[k + 1]), n)
  named = named + math.max(b - a, 0)
  if #codes == 1 then
    local new = set_bits(done, a, b, fresh)
    counts[string.byte(codes)] = counts[string.byte(codes)] + new
    total = total + new
  else
    for i = a, b - 1 do
      at = at + 1
      if redis.call('SETBIT', done, i, 1) == 0 then
        total = total + 1
        table.insert(fresh, i)
        table.insert(fresh, i + 1)
        local code = string.byte(codes, at)
        counts[code] = counts[code] + 1
      end
    end
  end
end
if total > 0 and total < named and ARGV[1] == 'outcomes' then
  for k = 1, #fresh, 2 do
    for i = fresh[k], fresh[k + 1] - 1 do redis.call('SETBIT', done, i, 0) end
  end
  return {3, 0, tonumber(M.left), tonumber(M.cancelled)}
end
if total > 0 then
  if ended and M.plan then
    if #stage == 0 then stage = stage_of(tonumber(ARGV[10 + opening])) end
    ended(stage, counts[3], counts[4])
  end
  append(ARGV[1], ARGV[2], ARGV[3])
  if ended and M.plan then recorded(stage) end
  add('left', -total)
  add('success', counts[3])
  add('failure', counts[4])
  if M.left == 0 then
    set('finished', ARGV[6])
    save()
    finish(ARGV[6], ARGV[7])
    return {1, total, 0, tonumber(M.cancelled), M.ready or 0}
  end
end
save()
if opened then redis.call('ZADD', 'nbq:active', M.submitted, job) end
return {1, total, tonumber(M.left), tonumber(M.cancelled), M.ready or 0}
