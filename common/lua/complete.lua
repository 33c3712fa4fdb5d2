-- SPDX-License-Identifier: MIT
-- @use base write record lane settle
-- complete: a job succeeded. State, result, event, notification and the trash in one.
--
-- ARGV  worker, retain ms, then of each job: id, epoch, public id, extension, outcome
-- Reply verdicts: 1 settled, 2 was settled so already, 3 cancelled meanwhile, 4 lost
-- A completion with another epoch than the job's is refused, and what it uploaded is thrown away.
local retain_ms = tonumber(ARGV[2])
local ids, reply, elapsed = {}, {}, {}
for i = 3, #ARGV, 5 do
  ids[#ids + 1] = ARGV[i]
end
local started = call('HMGET', P .. 'run', unpack(ids))
local left = {}

local function sweep(r, public_id, epoch, extension)
  -- Only what this job may have written: never the winner's, never another job's.
  local mine = r and public_id_of(r) == public_id and epoch <= r.epoch and
    not (r.state == 'S' and r.epoch == epoch)
  if mine or (r == nil and string.match(public_id, '^%x+$') and string.match(extension, '^%w+$')) then
    throw_away('results/' .. public_id .. '/' .. epoch .. '/result.' .. extension, now)
  end
end

local function settle(r, outcome, start)
  r.progress = 1000
  move(r, 'S')
  left[#left + 1] = r.id
  if r.epoch > 1 then
    throw_away_results(r, 1, r.epoch - 1, now + UPLOAD_WINDOW_MS)
  end
  settle_final(r, retain_ms, outcome)
  if start then
    local of_model = elapsed[r.model] or {sum = 0, n = 0}
    of_model.sum, of_model.n = of_model.sum + max(0, now - start), of_model.n + 1
    elapsed[r.model] = of_model
  end
end

for i = 3, #ARGV, 5 do
  local id, epoch, public_id = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local r = load(id)
  local verdict = 4
  if r and r.epoch == epoch and r.state == 'R' then
    local run = started[(i + 2) / 5]
    settle(r, ARGV[i + 4], run and tonumber(string.match(run, ' (%d+)$')))
    verdict = 1
  elseif r and r.epoch == epoch and r.state == 'S' then
    verdict = 2
  elseif sub(public_id, 3, 14) == id then
    sweep(r, public_id, epoch, ARGV[i + 3])
    verdict = r and r.epoch == epoch and r.state == 'C' and 3 or 4
  end
  reply[#reply + 1] = verdict
end
if #left > 0 then
  call('ZREM', P .. 'lease', unpack(left))
  call('HDEL', P .. 'run', unpack(left))
end
for model, sample in pairs(elapsed) do
  local old = tonumber(call('HGET', P .. 'c:' .. model, 'service'))
  local new = sample.sum / sample.n
  call('HSET', P .. 'c:' .. model, 'service', floor((old and old * 0.9 + new * 0.1 or new) * 10 + 0.5) / 10)
end
return finish(reply)
