-- SPDX-License-Identifier: MIT
-- @use base record lane
-- counters: what a model has, had and waits for.
--
-- ARGV  models…
-- Reply of each {queued, running, delayed, dead, submitted, succeeded, failed, cancelled, lost, workers,
--       slots, service ms, rated up, rated down, ms that the oldest job waits, of a sample of the lanes, 1 if paused}
local FIELDS = {'running', 'delayed', 'dead', 'submitted', 'succeeded', 'failed', 'cancelled', 'lost',
  'workers', 'slots', 'service', 'rated_u', 'rated_d', 'queued0', 'queued1', 'queued2'}

local reply = {}
for i = 1, #ARGV do
  local values = call('HMGET', P .. 'c:' .. ARGV[i], unpack(FIELDS))
  for j = 1, #FIELDS do
    values[j] = floor(tonumber(values[j]) or 0)
  end
  reply[i] = {values[14] + values[15] + values[16], values[1], values[2], values[3], values[4],
    values[5], values[6], values[7], values[8], values[9], values[10], values[11], values[12], values[13],
    now - (oldest_of(ARGV[i]) or now), call('EXISTS', P .. 'pause:' .. ARGV[i])}
end
return reply
