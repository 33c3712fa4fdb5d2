-- SPDX-License-Identifier: MIT
-- @use base write mails
-- mail_take: may this mail go out now? KEYS[1] is `{k}`, so that it is counted over all shards.
--
-- ARGV  address hash, id of the address among the unwanted, notify id, most per address and hour, most per
--       hour and per day of all (0: no limit)
-- Reply {verdict, ms, taken at}: 0 it may go, 1 the address wants none, 2 the address has had its mails of
--       this hour, 3 no mails go out now; for 2 and 3 the ms until it may be asked again
-- A mail that was let through before is let through again and counts once for its address: a retry is no
-- other mail. For the quota it counts each time; mail_done gives back what was not sent.
local address, unwanted, notify_id, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if call('ZSCORE', P .. 'unwanted', unwanted) then
  return {1, 0, 0}
end
local held = call('PTTL', P .. 'mailhold')
if held > 0 then
  return {3, held, 0}
end

local to = P .. 'mailto:' .. address
call('ZREMRANGEBYSCORE', to, '-inf', now - HOUR)
local known = call('ZSCORE', to, notify_id)
if not known and call('ZCARD', to) >= most then
  local first = call('ZRANGE', to, 0, 0, 'WITHSCORES')
  return {2, max(1, (tonumber(first[2]) or now) + HOUR - now), 0}
end

local wait = max(window_wait('m', MINUTE, 60, tonumber(ARGV[5])), window_wait('q', QUARTER, 96, tonumber(ARGV[6])))
if wait > 0 then
  hold(wait, 'quota')
  return {3, wait, 0}
end
if not known then
  call('ZADD', to, now, notify_id)
  call('PEXPIRE', to, HOUR)
end
if ARGV[5] ~= '0' then
  window_count('m', MINUTE, 60, now, 1)
end
if ARGV[6] ~= '0' then
  window_count('q', QUARTER, 96, now, 1)
end
return {0, 0, format('%.0f', now)}
