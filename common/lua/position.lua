-- SPDX-License-Identifier: MIT
-- position: how many jobs of its model are to start before a given one, and when it may be done.
--
-- Its own start tag is its flow's tag plus what the jobs before it are charged. Of every other flow
-- those jobs come first whose start tags are lower (at a tie the flow's name decides, as in the
-- ring). Exact up to `limit` flows and as long as charges are equal within a flow; beyond that a random
-- sample of the flows stands for all.
-- A view of many flows is kept a second in `view:<model>:<priority>`; the job's own flow is always looked at.
local KEEP_FROM, VIEW_KEPT_MS = 64, 1000
local snapshots, models = {}, {}

local function model_counters(model)
  if not models[model] then
    local values = call('HMGET', P .. 'c:' .. model, 'tombs', 'queued0', 'queued1', 'slots', 'service',
      'cost')
    models[model] = {tombs = tonumber(values[1]) or 0, ['0'] = tonumber(values[2]) or 0,
      ['1'] = tonumber(values[3]) or 0, slots = tonumber(values[4]) or 0,
      service = tonumber(values[5]) or 0, cost = tonumber(values[6]) or 1}
  end
  return models[model]
end

local function lane_length(set, flow, tombs)
  local length = call('LLEN', P .. 'r:' .. set .. ':' .. flow)
  if tombs > 0 then
    length = length - call('ZCARD', P .. 'tomb:' .. set .. ':' .. flow)
  end
  return length
end

local function snapshot_of(model, set, limit)
  if snapshots[set] then
    return snapshots[set]
  end
  local about = model_counters(model)
  local size = call('ZCARD', P .. 'ring:' .. set)
  local kept = size > KEEP_FROM and limit > KEEP_FROM and call('GET', P .. 'view:' .. set)
  if kept then
    snapshots[set] = cmsgpack.unpack(kept)
    return snapshots[set]
  end
  local pairs_ = size <= limit and call('ZRANGE', P .. 'ring:' .. set, 0, -1, 'WITHSCORES') or
    call('ZRANDMEMBER', P .. 'ring:' .. set, limit, 'WITHSCORES')
  local flows, fields = {}, {}
  for i = 1, #pairs_, 2 do
    fields[#fields + 1] = '$' .. pairs_[i]
  end
  local charges = #fields > 0 and call('HMGET', P .. 'tail:' .. set, unpack(fields)) or {}
  for i = 1, #pairs_, 2 do
    local flow = pairs_[i]
    flows[#flows + 1] = {flow = flow, tag = tonumber(pairs_[i + 1]),
      length = lane_length(set, flow, about.tombs),
      charge = tonumber(charges[(i + 1) / 2]) or about.cost}
  end
  snapshots[set] = {flows = flows, scale = #flows > 0 and size / #flows or 1}
  if size > KEEP_FROM and limit > KEEP_FROM then
    -- Not where memory is short: then each call looks for itself.
    redis.pcall('SET', P .. 'view:' .. set, cmsgpack.pack(snapshots[set]), 'PX', VIEW_KEPT_MS)
  end
  return snapshots[set]
end

-- Both -1 unless the job waits in a lane; the ETA is -1 where no worker is alive or may claim. Of the record it is
-- enough to have state, model, priority, place, cost and charge.
local function position_of(r, flow, limit)
  if r.state ~= 'Q' then
    return -1, -1
  end
  local set = r.model .. ':' .. r.priority
  local about = model_counters(r.model)
  local lane = P .. 'r:' .. set .. ':' .. flow
  local tail = tonumber(call('HGET', P .. 'tail:' .. set, flow)) or r.place
  local own = max(0, r.place - (tail - call('LLEN', lane) + 1))
  if about.tombs > 0 then
    own = own - call('ZCOUNT', P .. 'tomb:' .. set .. ':' .. flow, '-inf', '(' .. format('%.0f', r.place))
  end
  local start = tag_of(set, flow) + own * r.charge
  local others, view = 0, snapshot_of(r.model, set, limit)
  for i = 1, #view.flows do
    local other = view.flows[i]
    if other.flow ~= flow and other.tag <= start then
      local before = (start - other.tag) / other.charge
      before = before == floor(before) and before + (other.flow < flow and 1 or 0) or floor(before) + 1
      others = others + min(other.length, before)
    end
  end
  local ahead = own + floor(others * view.scale + 0.5)
  for priority = 0, r.priority - 1 do
    ahead = ahead + about[tostring(priority)]
  end
  if about.slots == 0 or call('EXISTS', P .. 'pause:' .. r.model) == 1 then
    return ahead, -1
  end
  local service = about.service > 0 and about.service or r.cost
  return ahead, floor(ahead * service / about.slots + service)
end
