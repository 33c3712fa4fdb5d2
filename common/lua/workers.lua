-- SPDX-License-Identifier: MIT
-- @use base registry
-- workers: who is alive, and how much each has in hand.
--
-- ARGV  limit
-- Reply of each {worker, slots, device, `model,model…`, ms until it counts as gone, 1 if it was told to
--       drain, jobs that it runs or -1 where more run than one call may look at}
local RUNS_MAX = 2000
local running = {}
local few = call('HLEN', P .. 'run') <= RUNS_MAX
if few then
  local runs = call('HVALS', P .. 'run')
  for i = 1, #runs do
    local worker = string.match(runs[i], '^%S+')
    running[worker] = (running[worker] or 0) + 1
  end
end
local alive = call('ZRANGE', P .. 'workers', 0, ARGV[1] - 1, 'WITHSCORES')
local reply = {}
for i = 1, #alive, 2 do
  local worker = alive[i]
  local _, slots, models, device = about_worker(worker)
  reply[#reply + 1] = {worker, slots or 0, device or '', models or '', max(0, alive[i + 1] - now),
    call('EXISTS', P .. 'drain:' .. worker), few and (running[worker] or 0) or -1}
end
return reply
