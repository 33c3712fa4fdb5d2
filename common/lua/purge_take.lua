-- SPDX-License-Identifier: MIT
-- @use base write
-- purge_take: lend out what is to be purged.
--
-- ARGV  max, lease ms
-- Reply of each {member, ms since its object was deleted}
-- Not settled within the lease: lent again. Purging twice is harmless.
local members, reply = call('ZRANGEBYSCORE', P .. 'purge', '-inf', now, 'LIMIT', 0, ARGV[1]), {}
for i = 1, #members do
  call('ZADD', P .. 'purge', now + ARGV[2], members[i])
  reply[i] = {members[i], floor(max(0, now - (tonumber(string.match(members[i], '^%d+')) or 0)))}
end
return reply
