-- SPDX-License-Identifier: MIT
-- @use base write
-- trash_done: these objects are deleted.
--
-- ARGV  1 where copies of them may be elsewhere (a CDN) and are to be purged, keys…
-- Reply how many were still to be deleted
-- `purge`: zset of `<ms when it was deleted> <object key>` → when to try next. Acknowledged twice: purged twice,
-- harmlessly.
local removed, purges = 0, {}
for i = 2, #ARGV do
  removed = removed + call('ZREM', P .. 'trash', ARGV[i])
  purges[#purges + 1] = now
  purges[#purges + 1] = format('%.0f ', now) .. ARGV[i]
end
if ARGV[1] == '1' and #purges > 0 then
  call('ZADD', P .. 'purge', unpack(purges))
end
return removed
