-- SPDX-License-Identifier: MIT
-- @use base write
-- notify_allow: at most so many mails per address and hour, counted once for all notifiers.
--
-- ARGV  address hash, notify id, max per hour
-- Reply 0 if it may go now, else ms until it may
-- A row that was let through before is let through again: a retry is not another mail.
local HOUR = 3600000
local key = P .. 'rate:' .. ARGV[1]
call('ZREMRANGEBYSCORE', key, '-inf', now - HOUR)
if call('ZSCORE', key, ARGV[2]) then
  return 0
end
if call('ZCARD', key) < tonumber(ARGV[3]) then
  call('ZADD', key, now, ARGV[2])
  call('PEXPIRE', key, HOUR)
  return 0
end
local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
return max(1, (tonumber(first[2]) or now) + HOUR - now)
