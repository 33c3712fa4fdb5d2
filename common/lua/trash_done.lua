-- SPDX-License-Identifier: MIT
-- @use base write
-- trash_done: these objects are deleted.
--
-- ARGV  1 where copies of them may be elsewhere (a CDN) and are to be purged, keys…
-- Reply how many were still to be deleted
-- `purge`: zset of `<ms when it was deleted> <object key>` → when to try next. It is written first: where that fails,
-- the object stays in the trash and comes again. Acknowledged twice: purged twice, harmlessly.
local purges, removed = {}, 0
for i = 2, ARGV[1] == '1' and #ARGV or 0 do
  purges[#purges + 1] = now
  purges[#purges + 1] = format('%.0f ', now) .. ARGV[i]
end
if #purges > 0 then
  call('ZADD', P .. 'purge', unpack(purges))
end
for i = 2, #ARGV do
  removed = removed + call('ZREM', P .. 'trash', ARGV[i])
end
return removed
