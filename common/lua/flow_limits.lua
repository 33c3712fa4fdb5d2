-- SPDX-License-Identifier: MIT
-- @use base write lane flow
-- flow_limits: how many jobs of a flow may run at once and start in a minute, from now on.
--
-- ARGV  flow, or * for visitors' flows that have none of their own; running, per minute (0: any number)
-- Reply 1 if that changed anything, else 0
-- What is parked by the old limits is looked at again: now, under * within ten seconds.
local flow, text = ARGV[1], ARGV[2] .. ' ' .. ARGV[3]
local old = call('HGET', P .. 'limits', flow)
if old == text or not old and text == '0 0' then
  return 0
end
if text == '0 0' then
  call('HDEL', P .. 'limits', flow)
  call('ZREM', P .. 'rated', flow)
else
  call('HSET', P .. 'limits', flow, text)
end
unpark(flow)
return 1
