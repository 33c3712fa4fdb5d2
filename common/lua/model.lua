-- SPDX-License-Identifier: MIT
-- @use base write
-- model: what a model's manifest says to the queue, kept until it says something else.
--
-- ARGV  model, then pairs of field and ms: past_due, input and result (how long an input and a finished
--       job are kept)
-- Reply 1 if that changed anything, else 0
local changed = 0
for i = 2, #ARGV, 2 do
  if call('HGET', P .. 'm:' .. ARGV[1], ARGV[i]) ~= ARGV[i + 1] then
    call('HSET', P .. 'm:' .. ARGV[1], ARGV[i], ARGV[i + 1])
    changed = 1
  end
end
return changed
