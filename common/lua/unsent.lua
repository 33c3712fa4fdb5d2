-- SPDX-License-Identifier: MIT
-- @use base
-- unsent: notifications that were given up, the newest first.
--
-- ARGV  offset, limit
-- Reply {total, {notify id, public id, state, attempts, created ms, given up ms, reason}…}
local first = tonumber(ARGV[1])
local ids = call('ZREVRANGE', P .. 'unsent', first, first + ARGV[2] - 1)
local reply = {call('ZCARD', P .. 'unsent')}
for i = 1, #ids do
  local values = call('HMGET', P .. 'n:' .. ids[i], 'id', 'state', 'attempts', 'created', 'dead', 'reason')
  if values[1] then
    reply[#reply + 1] = {ids[i], values[1], values[2], values[3], values[4], values[5], values[6] or ''}
  end
end
return reply
