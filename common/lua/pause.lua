-- SPDX-License-Identifier: MIT
-- @use base write lane
-- pause: nobody claims a model's jobs until it is resumed. What runs goes on.
--
-- ARGV  model, 1 to pause, 0 to resume
-- Reply 1 if that changed anything, else 0
local key = P .. 'pause:' .. ARGV[1]
if ARGV[2] == '1' then
  return call('SET', key, format('%d', now), 'NX') and 1 or 0
end
local changed = call('DEL', key)
wake(ARGV[1])
return changed
