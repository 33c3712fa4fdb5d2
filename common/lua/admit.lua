-- SPDX-License-Identifier: MIT
-- admit: when is there room again? For the Retry-After of what was refused.
--
-- `full`: where something was refused lately → `last interval refused`: when a claim last made room there, the
-- smoothed time between two such claims (0: not known yet), and when something was last refused. The field is
-- `<model>:<priority>:<flow>` for a lane and `*` for the shard. Claims write it, and only while it is there:
-- who is never refused anything pays nothing.
local FULL_KEPT_MS = 60000

local function read_full(text)
  local last, interval, refused = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  return tonumber(last), tonumber(interval), tonumber(refused)
end

-- Of a claim that took jobs from there.
local function made_room(field, text)
  local last, interval, refused = read_full(text)
  if not last then
    return
  elseif now - refused > FULL_KEPT_MS + 3 * interval then
    call('HDEL', P .. 'full', field)
    return
  end
  if last > 0 then
    interval = max(1, interval > 0 and floor(interval * 0.75 + (now - last) * 0.25) or now - last)
  end
  call('HSET', P .. 'full', field, format('%d %d %d', now, interval, refused))
end

-- ms until there should be room, from when it was made before; before that is known from what a job takes.
local function retry_after(field, guess)
  local last, interval = read_full(call('HGET', P .. 'full', field))
  call('HSET', P .. 'full', field, format('%d %d %d', last or 0, interval or 0, now))
  if not interval or interval == 0 then
    return max(1, floor(guess))
  end
  local left = last + interval - now
  -- Late already: soon; the later, the less so.
  return left > interval / 10 and left or floor(max(interval / 10, -left)) + 1
end

-- Of the shard.
local function room_for_jobs(max_queued)
  local about = call('HMGET', P .. 'c:', 'queued', 'delayed')
  return max_queued - (tonumber(about[1]) or 0) - (tonumber(about[2]) or 0)
end

local function guess_of(model, set)
  local about = call('HMGET', P .. 'c:' .. model, 'service', 'cost', 'slots')
  local service = tonumber(about[1]) or tonumber(about[2]) or 1000
  local slots = tonumber(about[3]) or 0
  local flows = set and call('ZCARD', P .. 'ring:' .. set) or 1
  return slots > 0 and service / slots * max(1, flows) or 60000
end
