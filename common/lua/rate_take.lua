-- SPDX-License-Identifier: MIT
-- @use base write
-- rate_take: tokens out of a bucket that all dispatchers share. KEYS[1] is `{k}`.
--
-- ARGV  bucket, tokens per minute, tokens that it holds, tokens wanted; a negative number gives
--       tokens back that were taken and not used
-- Reply {tokens taken, ms until the next one where none was}
--
-- The bucket is one number (GCRA): the time at which it will be full again, in microseconds. It is
-- full when the key is not there, so a bucket that nobody uses costs nothing.
local key, interval, wanted = P .. 'rate:' .. ARGV[1], 60000000 / ARGV[2], tonumber(ARGV[4])
local now_us = time[1] * 1000000 + time[2]
local full_at = max(tonumber(call('GET', key)) or 0, now_us)
local left = floor((now_us - full_at) / interval + ARGV[3] + 0.001)
local taken = max(min(wanted, left), min(wanted, 0))
if taken ~= 0 then
  full_at = full_at + taken * interval
  if full_at > now_us then
    call('SET', key, format('%.0f', full_at), 'PX', floor((full_at - now_us) / 1000) + 1)
  else
    call('DEL', key)
  end
end
local wait = taken == 0 and full_at + interval * (1 - ARGV[3]) - now_us or 0
return {taken, max(0, math.ceil(wait / 1000))}
