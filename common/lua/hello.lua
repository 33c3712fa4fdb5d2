-- SPDX-License-Identifier: MIT
-- @use base write registry
-- hello: a worker is alive; repeat to change its models or slots.
--
-- ARGV  worker, ttl ms, slots, device, models (with a + before those that are loaded)…
-- Reply 1
local worker, ttl = ARGV[1], tonumber(ARGV[2])
check_protocol(call('GET', P .. 'protocol'))
local models = table.concat(ARGV, ',', 5)
deregister(worker)
-- Kept for a day, so that a heartbeat after a long silence can register it again.
call('SET', P .. 'w:' .. worker, ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. '|' .. models, 'PX',
  86400000 + ttl)
register(worker, ttl, ARGV[3], models)
return 1
