-- SPDX-License-Identifier: MIT
-- @use base record
-- counters: what a model has, had and waits for.
--
-- ARGV  models…
-- Reply of each {queued, running, delayed, dead, submitted, succeeded, failed, cancelled, lost, workers,
--       slots, service ms, age in ms of the oldest head of up to 32 lanes, 1 if paused}
local FIELDS = {'running', 'delayed', 'dead', 'submitted', 'succeeded', 'failed', 'cancelled', 'lost',
  'workers', 'slots', 'service', 'queued0', 'queued1', 'queued2'}

local function oldest(model)
  local created = now
  for priority = 0, 2 do
    local set = model .. ':' .. priority
    local flows = call('ZRANGE', P .. 'ring:' .. set, 0, 31)
    for i = 1, #flows do
      local id = call('LINDEX', P .. 'r:' .. set .. ':' .. flows[i], 0)
      local r = id and load(id)
      if r and r.state == 'Q' then
        created = min(created, r.created)
      end
    end
  end
  return now - created
end

local reply = {}
for i = 1, #ARGV do
  local values = call('HMGET', P .. 'c:' .. ARGV[i], unpack(FIELDS))
  for j = 1, #FIELDS do
    values[j] = floor(tonumber(values[j]) or 0)
  end
  reply[i] = {values[12] + values[13] + values[14], values[1], values[2], values[3], values[4],
    values[5], values[6], values[7], values[8], values[9], values[10], values[11], oldest(ARGV[i]),
    call('EXISTS', P .. 'pause:' .. ARGV[i])}
end
return reply
