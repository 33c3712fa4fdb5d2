-- SPDX-License-Identifier: MIT
-- mails: what is counted over all mails of all shards.
--
-- `mailto:<address hash>`: rows that were let through within the last hour. `mailed:m<minute>` and
-- `mailed:q<quarter of an hour>`: how many were sent then, while they count. A window is as many of these as
-- make up an hour or a day, and the one that is half out of it: never more than the quota in any hour or day.
local MINUTE, QUARTER, HOUR = 60000, 900000, 3600000

local function window_key(kind, number)
  return P .. 'mailed:' .. kind .. format('%.0f', number)
end

-- Ms until there is room for one more; 0: there is. `most` 0: no limit.
local function window_wait(kind, span, count, most)
  if most == 0 then
    return 0
  end
  local current, keys = floor(now / span), {}
  for i = 0, count do
    keys[i + 1] = window_key(kind, current - count + i)
  end
  local counts, sum, oldest = call('MGET', unpack(keys)), 0, nil
  for i = 1, #keys do
    local n = tonumber(counts[i] or 0) or 0
    sum = sum + n
    oldest = oldest or (n > 0 and current - count + i - 1) or nil
  end
  return sum < most and 0 or max(1, (oldest + count + 1) * span - now)
end

local function window_count(kind, span, count, at, by)
  local key = window_key(kind, floor(at / span))
  if by > 0 or (tonumber(call('GET', key) or 0) or 0) > 0 then
    call('INCRBY', key, by)
    call('PEXPIRE', key, (count + 1) * span)
  end
end

-- No mails for so long.
local function hold(ms, reason)
  call('SET', P .. 'mailhold', reason, 'PX', format('%.0f', ms))
  call('HINCRBY', P .. 'mails', 'held', 1)
end
