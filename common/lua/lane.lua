-- SPDX-License-Identifier: MIT
-- lane: jobs that wait, and the weighted fair ring over the flows.
--
-- `r:<model>:<priority>:<flow>` lists the ids of one flow. `ring:<model>:<priority>` scores every
-- flow that has a lane by its tag, in milliseconds of device time divided by the flow's weight: the
-- lowest is served next and moves on by what its job is charged (start-time fair queuing, Goyal et
-- al. 1996). `clock:…` is the tag served last: a flow that comes in starts there and owes nothing.
-- `idle:…` keeps the tag of a flow that ran dry until the clock has passed it, so that draining
-- and coming back does not wipe out what a flow has used. `tail:…` holds each lane's last place (and
-- under `$flow` a charge that is not the model's usual one); place of the head = tail - length + 1.
-- `tomb:<model>:<priority>:<flow>` holds the places of cancelled jobs, whose ids stay in the lane
-- until they are popped: cancelling is O(log n) whatever the lane's length.
local FIRST_PLACE = 4294967296 -- half way, as a job put back at the head gets the place before it

local function wake(model)
  local key = P .. 'wake:' .. model
  -- One token at most: a worker that finds it looks at the lanes, and whoever leaves jobs behind
  -- puts the next one there. Blocked workers take it at once, so each submit wakes one.
  if call('LLEN', key) == 0 then
    call('RPUSH', key, '1')
  end
end

-- Where a flow with a lane stands: in the ring, or parked beside it (flow.lua).
local function tag_of(set, flow)
  return tonumber(call('ZSCORE', P .. 'ring:' .. set, flow) or
    call('HGET', P .. 'parked:' .. flow, set)) or 0
end

-- A lane got its first job: its flow enters the ring.
local function lane_open(set, flow, cost, charge, refund)
  if charge ~= cost then
    call('HSET', P .. 'tail:' .. set, '$' .. flow, charge)
  end
  local tag = tonumber(call('GET', P .. 'clock:' .. set)) or 0
  local idle = tonumber(call('ZSCORE', P .. 'idle:' .. set, flow))
  if idle then
    tag = refund and idle or max(tag, idle)
    call('ZREM', P .. 'idle:' .. set, flow)
  end
  call('ZADD', P .. 'ring:' .. set, refund and max(0, tag - charge) or tag, flow)
end

-- Puts a job whose state is Q already into its lane; sets r.place, which the caller saves.
-- `refund`: it was charged when it was claimed, and did not get what it paid for.
local function lane_push(r, at_head, refund)
  local set, flow = r.model .. ':' .. r.priority, flow_of(r)
  local lane, tails = P .. 'r:' .. set .. ':' .. flow, P .. 'tail:' .. set
  local length = try(at_head and 'LPUSH' or 'RPUSH', lane, r.id)
  if type(length) == 'table' then
    -- Not a list. The job waits beside its lane until fsck has mended that.
    call('ZADD', P .. 'corrupt', now, r.id)
    return
  elseif length > 1 then
    if at_head then
      r.place = (tonumber(call('HGET', tails, flow)) or FIRST_PLACE) - length + 1
    else
      r.place = call('HINCRBY', tails, flow, 1)
    end
    if refund and not call('ZADD', P .. 'ring:' .. set, 'XX', 'INCR', -r.charge, flow) and
      call('HEXISTS', P .. 'parked:' .. flow, set) == 1 then
      call('HINCRBY', P .. 'parked:' .. flow, set, -r.charge)
    end
    return
  end
  r.place = FIRST_PLACE
  call('HSET', tails, flow, FIRST_PLACE)
  lane_open(set, flow, r.cost, r.charge, refund)
end

-- A lane has nothing left to run: its keys go, its tag is kept while it is ahead of the clock.
local function lane_close(set, flow, tag, clock)
  call('UNLINK', P .. 'r:' .. set .. ':' .. flow, P .. 'tomb:' .. set .. ':' .. flow)
  call('HDEL', P .. 'tail:' .. set, flow, '$' .. flow)
  call('ZREM', P .. 'ring:' .. set, flow)
  if tag > clock then
    call('ZADD', P .. 'idle:' .. set, tag, flow)
  end
end

-- A deadline `+ms` counts from when the job may first start: now, or at `run_at`. The caller saves the whole record.
local function set_deadline(r, run_at)
  local text = has(r, FLAG_DEADLINE) and extra_get(r, 'd')
  if text and sub(text, 1, 1) == '+' then
    text = format('%d', max(now, run_at) + tonumber(text))
    extra_set(r, 'd', text)
  end
  if text then
    call('ZADD', P .. 'deadline', text, r.id)
  end
end

-- Marks a queued job's place as dead. The caller moves or deletes the record.
local function lane_bury(r)
  local set, flow = r.model .. ':' .. r.priority, flow_of(r)
  local lane, tomb = P .. 'r:' .. set .. ':' .. flow, P .. 'tomb:' .. set .. ':' .. flow
  call('ZADD', tomb, r.place, r.id)
  count(r.model, 'tombs', 1)
  local tombs = call('ZCARD', tomb)
  if tombs >= call('LLEN', lane) then
    lane_close(set, flow, tag_of(set, flow), tonumber(call('GET', P .. 'clock:' .. set)) or 0)
    count(r.model, 'tombs', -tombs)
  end
end

-- Since when the oldest of a model's jobs waits, or nil: of the heads of up to 32 lanes of each priority, the
-- next to be served and a random few.
local function oldest_of(model)
  local oldest
  for priority = 0, 2 do
    local set = model .. ':' .. priority
    local flows = call('ZRANGE', P .. 'ring:' .. set, 0, 15)
    if #flows == 16 then
      local others = call('ZRANDMEMBER', P .. 'ring:' .. set, 16)
      for i = 1, #others do
        flows[16 + i] = others[i]
      end
    end
    for i = 1, #flows do
      local id = call('LINDEX', P .. 'r:' .. set .. ':' .. flows[i], 0)
      local r = id and load(id)
      if r and r.state == 'Q' then
        oldest = min(oldest or now, r.updated)
      end
    end
  end
  return oldest
end
