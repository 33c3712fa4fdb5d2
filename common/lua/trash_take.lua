-- SPDX-License-Identifier: MIT
-- @use base write
-- trash_take: lend out object keys that are to be deleted.
--
-- ARGV  max, lease ms
-- Reply keys…
-- Not acknowledged within the lease: lent again. Deleting twice is harmless.
-- While a backup is made nothing is lent: what the records of a moment name is there until it is copied.
if call('EXISTS', P .. 'hold') == 1 then
  return {}
end
local keys = call('ZRANGEBYSCORE', P .. 'trash', '-inf', now, 'LIMIT', 0, ARGV[1])
for i = 1, #keys do
  call('ZADD', P .. 'trash', now + ARGV[2], keys[i])
end
return keys
