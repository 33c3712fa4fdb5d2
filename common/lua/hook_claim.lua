-- SPDX-License-Identifier: MIT
-- @use base write rows
-- hook_claim: lease webhooks that are due to a notifier, at most so many of one target at once.
--
-- ARGV  max, max of a target (all notifiers together), lease ms
-- Reply {ms until a target is to be looked at or -1, {notify id, epoch, attempts, created ms, public id,
--       target, flow, sealed URL or '', record}…}
-- Crash after it: the rows are due again when the lease is over. The epoch fences a late settle.
check_protocol(call('GET', P .. 'protocol'))
local room, most, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local reply = {-1}

local function claim(notify_id, target)
  local key = P .. 'n:' .. notify_id
  call('ZREM', P .. 'hq:' .. target, notify_id)
  if call('EXISTS', key) == 0 then
    return
  end
  call('HINCRBY', key, 'epoch', 1)
  call('ZADD', P .. 'hl:' .. target, now + lease_ms, notify_id)
  local values = call('HMGET', key, 'epoch', 'attempts', 'created', 'id', 'flow', 'url', 'record')
  reply[#reply + 1] = {notify_id, values[1], values[2], values[3], values[4], target, values[5],
    values[6] or '', values[7]}
  room = room - 1
end

-- What a notifier had that died.
local function take_back(target)
  local lost = call('ZRANGEBYSCORE', P .. 'hl:' .. target, '-inf', now)
  for i = 1, #lost do
    call('ZREM', P .. 'hl:' .. target, lost[i])
    call('ZADD', P .. 'hq:' .. target, now, lost[i])
  end
end

local targets = call('ZRANGEBYSCORE', P .. 'hooks', '-inf', now, 'LIMIT', 0, max(room, 1))
for i = 1, #targets do
  local target = targets[i]
  take_back(target)
  local free = min(room, most - call('ZCARD', P .. 'hl:' .. target))
  local ids = free > 0 and
    call('ZRANGEBYSCORE', P .. 'hq:' .. target, '-inf', now, 'LIMIT', 0, free) or {}
  for j = 1, #ids do
    claim(ids[j], target)
  end
  target_schedule(target, call('ZCARD', P .. 'hl:' .. target) >= most)
end
local next_look = call('ZRANGE', P .. 'hooks', 0, 0, 'WITHSCORES')
if next_look[2] then
  reply[1] = max(0, next_look[2] - now)
end
return reply
