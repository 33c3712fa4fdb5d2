-- SPDX-License-Identifier: MIT
-- @use base pace
-- stats: how many jobs have succeeded, of each model that there ever was, and how many of them within a minute.
--
-- ARGV  none
-- Reply of each model {model, succeeded since the beginning, within the last minute in thousandths}
-- The minute is that before the newest look which is at least a minute old (pace.lua), scaled by its age; where
-- there is no such look yet, what came since the oldest one, which is never more than came in the minute.
local age, before = look_back()
local models, reply = call('SMEMBERS', P .. 'models'), {}
for i = 1, #models do
  local total = finished_of(models[i])
  local rate = age and max(0, total - (before[models[i]] or 0)) * 1000 * PACE_WINDOW_MS / max(PACE_WINDOW_MS, age) or 0
  reply[i] = {models[i], total, floor(rate + 0.5)}
end
return reply
