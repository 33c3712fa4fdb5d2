-- SPDX-License-Identifier: MIT
-- @use base record registry
-- workers: who is alive, and what each has in hand.
--
-- ARGV  limit
-- Reply of each {worker, slots, device, `model,+model…` (+: loaded), ms until it counts as gone, 1 if it was told to
--       drain, jobs that it runs or -1 where more run than one call may look at, ms since it was last
--       heard, `public id, progress ‰, claimed at, model`…} (a text for each of up to JOBS_MAX jobs)
local RUNS_MAX, JOBS_MAX, LOOKS_MAX = 2000, 16, 1000
local running, jobs, looks = {}, {}, 0
local few = call('HLEN', P .. 'run') <= RUNS_MAX

local function note(id, run)
  local worker, claimed = string.match(run, '^(%S+) (%d+)')
  if not worker then
    return
  end
  running[worker] = (running[worker] or 0) + 1
  if running[worker] <= JOBS_MAX then
    jobs[worker] = jobs[worker] or {}
    table.insert(jobs[worker], {id, claimed})
  end
end

local function describe(job)
  local raw = call('GETRANGE', P .. 'j:' .. job[1], 0, HEAD_SIZE + 47)
  looks = looks + 1
  if #raw < HEAD_SIZE then
    return nil
  end
  local progress, id1, id2, model_size = struct.unpack('>I2' .. string.rep('x', 29) .. 'I5I5B', raw, 7)
  return format('%s%s%010x%010x %d %s %s', sub(P, 4, 5), job[1], id1, id2, progress, job[2],
    sub(raw, HEAD_SIZE + 1, HEAD_SIZE + model_size))
end

if few then
  local runs = call('HGETALL', P .. 'run')
  for i = 1, #runs, 2 do
    note(runs[i], runs[i + 1])
  end
end
local alive = call('ZRANGE', P .. 'workers', 0, ARGV[1] - 1, 'WITHSCORES')
local reply = {}
for i = 1, #alive, 2 do
  local worker = alive[i]
  local ttl, slots, models, device = about_worker(worker)
  local left = alive[i + 1] - now
  local line = {worker, slots or 0, device or '', models or '', max(0, left),
    call('EXISTS', P .. 'drain:' .. worker), few and (running[worker] or 0) or -1, max(0, (ttl or left) - left)}
  for _, job in ipairs(looks < LOOKS_MAX and jobs[worker] or {}) do
    line[#line + 1] = describe(job)
  end
  reply[#reply + 1] = line
end
return reply
