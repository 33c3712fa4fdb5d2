-- SPDX-License-Identifier: MIT
-- @use base record
-- dead: a page of the dead letter, the newest first.
--
-- ARGV  offset, limit
-- Reply {how many there are, {id, record, died ms, line of its history…}…}
local dead = call('ZREVRANGE', P .. 'dlq', ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local reply = {call('ZCARD', P .. 'dlq')}
for i = 1, #dead, 2 do
  local raw = call('GET', P .. 'j:' .. dead[i])
  if raw then
    reply[#reply + 1] = {dead[i], raw, dead[i + 1], unpack(call('LRANGE', P .. 'h:' .. dead[i], 0, -1))}
  end
end
return reply
