-- SPDX-License-Identifier: MIT
-- @use base write
-- purge_settle: these were purged, or are to be tried again.
--
-- ARGV  pairs of member and ms until the next try, 0: done or given up
-- Reply how many are gone
local gone = 0
for i = 1, #ARGV, 2 do
  if ARGV[i + 1] == '0' then
    gone = gone + call('ZREM', P .. 'purge', ARGV[i])
  else
    call('ZADD', P .. 'purge', 'XX', now + ARGV[i + 1], ARGV[i])
  end
end
return gone
