-- SPDX-License-Identifier: MIT
-- @use base record lane index admit idem position
-- submit: admit jobs, write their records, put them into their lanes.
--
-- ARGV  max queued of the shard, max queued of a flow and model (behind it ` <flow>=<max>` of those that
--       have a limit of their own), 1 to answer with positions, count;
--       then of each job: public id, model, flow, priority, run at (ms since 1970, 0 now), and the
--       record, packed by the caller as in record.lua with zeros for created, updated and place
-- Reply of each job: {status, state letter, created ms, position, eta ms}; status 0 accepted, 1 was
--       there already (a repeated call; nothing changed), 2 the shard is full, 3 the lane is full,
--       4 the id belongs to another job, 8 … 12 as in idem.lua, of 10 with that job's id behind. Of 2
--       and 3 the third is in how many ms there should be room.
--       In place of the usual {0, 'Q', created ms, position, eta ms} the text `created position eta`,
--       without positions only created ms. Of several jobs for one lane only the last is looked at: those
--       before it count down from there, so they may be told a little more than is true
-- Crash: all or nothing. At maxmemory refused with OOM before anything is written: the first write
-- must be a command that Redis refuses then (SET, HINCRBY).
local max_queued, want_position = tonumber(ARGV[1]), ARGV[3] == '1'
local max_flow, max_of = tonumber(string.match(ARGV[2], '^%d+')), {}
for flow, most in string.gmatch(ARGV[2], ' (%S+)=(%d+)') do
  max_of[flow] = tonumber(most)
end
local room = room_for_jobs(max_queued)
local retries = {} -- where there was no room → when there should be some
local JOBS = P .. 'j:'
local COST_AT = 32 -- of a packed record, from 1
local submitted = {}
-- Lanes that got a job of this call, by key. The first one goes in by itself; what follows it waits in `more`
-- and goes in with one command. `place` and `length` count it in. For position_of() one stands for its last job.
local lanes = {}
local lane_at, ordinal_at = {}, {} -- of the jobs whose positions are told at the end

local function flush(lane)
  local more = #lane.more
  if more > 0 then
    call('RPUSH', lane.key, unpack(lane.more))
    call('HINCRBY', lane.tails, lane.flow, more)
    lane.more = {}
  end
end

local function flush_all()
  for _, lane in pairs(lanes) do
    flush(lane)
  end
end

local function reply_to(status, r)
  local position, eta = -1, -1
  if want_position then
    position, eta = position_of(r, flow_of(r), 16)
  end
  return {status, r.state, r.created, position, eta}
end

local function repeated(public_id, id)
  local r, problem = load(id)
  if not r then
    return nil, problem
  end
  if public_id_of(r) ~= public_id then
    return {4, r.state, 0, -1, -1}
  end
  flush_all() -- its position counts what is in the lanes
  return reply_to(1, r)
end

-- What jobs of one model and priority share, so that a batch puts it together once.
local sets, last_set = {}, {}

local function set_of(model, priority)
  if last_set.model == model and last_set.priority == priority then
    return last_set
  end
  local name = model .. ':' .. priority
  local set = sets[name]
  if not set then
    set = {name = name, tails = P .. 'tail:' .. name, lanes = P .. 'r:' .. name .. ':', field = 'queued' .. priority,
      model = model, priority = priority}
    sets[name] = set
  end
  last_set = set
  return set
end

-- Takes the next place of a lane, which is new when it has none yet.
local function next_place(tails, flow)
  local place = call('HINCRBY', tails, flow, 1)
  if place == 1 then
    call('HSET', tails, flow, FIRST_PLACE)
    return FIRST_PLACE
  end
  return place
end

local function give_place_back(tails, flow, place)
  if place == FIRST_PLACE then
    call('HDEL', tails, flow)
  else
    call('HINCRBY', tails, flow, -1)
  end
end

local NO_LANE = -1

-- Behind a job of the same call. Results as of enqueue().
local function enqueue_behind(lane, id, packed)
  local key = JOBS .. id
  if lane.length >= (max_of[lane.flow] or max_flow) then
    return call('EXISTS', key) == 1 and 1 or 3
  elseif not call('SET', key, packed, 'NX') then
    return 1
  end
  lane.place, lane.length = lane.place + 1, lane.length + 1
  call('SETRANGE', key, '8', struct.pack('>I6I5I6', now, lane.place, now))
  lane.more[#lane.more + 1] = id
  return 0
end

-- 0 accepted, 1 the id is taken, 3 the lane is full, NO_LANE: it is something else.
local function enqueue(id, set, flow, packed)
  local lane, tails, key = set.lanes .. flow, set.tails, JOBS .. id
  if lanes[lane] then
    return enqueue_behind(lanes[lane], id, packed)
  end
  local place = next_place(tails, flow)
  if not call('SET', key, packed, 'NX') then
    give_place_back(tails, flow, place)
    return 1
  end
  call('SETRANGE', key, '8', struct.pack('>I6I5I6', now, place, now))
  local length = try('RPUSH', lane, id)
  if type(length) == 'table' then
    call('DEL', key)
    give_place_back(tails, flow, place)
    return NO_LANE
  elseif length > (max_of[flow] or max_flow) then
    call('RPOP', lane)
    call('DEL', key)
    give_place_back(tails, flow, place)
    return 3
  end
  if length == 1 then
    local cost, charge = struct.unpack('>I3I3', packed, COST_AT)
    lane_open(set.name, flow, cost, charge, false)
  end
  lanes[lane] = {key = lane, tails = tails, flow = flow, place = place, length = length, more = {}, count = 0,
    state = 'Q', model = set.model, priority = set.priority}
  return 0
end

local function delay(id, run_at, packed)
  local key = P .. 'j:' .. id
  if not call('SET', key, packed, 'NX') then
    return 1
  end
  call('SETRANGE', key, '1', 'D')
  call('SETRANGE', key, '8', struct.pack('>I6I5I6', now, 0, now))
  call('ZADD', P .. 'delay', run_at, id)
  return 0
end

local function admitted(model, field, packed)
  local of_model = submitted[model]
  if not of_model then
    of_model = {}
    submitted[model] = of_model
    call('SADD', P .. 'models', model)
    call('HSET', P .. 'c:' .. model, 'cost', (struct.unpack('>I3', packed, COST_AT)))
  end
  of_model[field] = (of_model[field] or 0) + 1
end

-- What few jobs have.
local function add_rare(id, run_at)
  local r = load(id)
  set_deadline(r, run_at)
  save_whole(r)
end

local function note_lane(lane, packed, index)
  lane.count = lane.count + 1
  lane.packed = packed
  lane_at[index] = lane
  ordinal_at[index] = lane.count
end

local function refused(field, model, set)
  retries[field] = retries[field] or retry_after(field, guess_of(model, set))
  return retries[field]
end

local function submit(i)
  local public_id, model, packed = ARGV[i], ARGV[i + 1], ARGV[i + 5]
  local id, run_at, set = sub(public_id, 3, 14), ARGV[i + 4], set_of(model, ARGV[i + 3])
  local status, field = 2, nil
  if room > 0 and run_at ~= '0' and tonumber(run_at) > now then
    status, field = delay(id, run_at, packed), 'delayed'
  elseif room > 0 then
    status, field = enqueue(id, set, ARGV[i + 2], packed), set.field
  elseif call('EXISTS', P .. 'j:' .. id) == 1 then
    status = 1
  end
  if status == 1 then
    return repeated(public_id, id)
  elseif status == 2 then
    return {2, 'Q', refused('*', model), -1, -1}
  elseif status == 3 then
    return {3, 'Q', refused(set.name .. ':' .. ARGV[i + 2], model, set.name), -1, -1}
  elseif status == NO_LANE then
    local lane = set.lanes .. ARGV[i + 2]
    return nil, 'CORRUPT ' .. lane .. ': a ' .. call('TYPE', lane).ok .. ', expected a list'
  elseif status > 1 then
    return {status, 'Q', 0, -1, -1}
  end
  if byte(packed, 3) >= FLAG_DEADLINE then
    add_rare(id, run_at)
  end
  if byte(packed, ADDRESS_AT) > 0 or #ARGV[i + 2] == 17 then
    index_add(id, ARGV[i + 2], packed)
  end
  admitted(model, field, packed)
  room = room - 1
  if field == 'delayed' then
    return {0, 'D', now, -1, -1}
  end
  if want_position then
    note_lane(lanes[set.lanes .. ARGV[i + 2]], packed, (i + 1) / 6)
  end
  return now
end

local function tell_positions(replies)
  for _, lane in pairs(lanes) do
    lane.cost, lane.charge = struct.unpack('>I3I3', lane.packed, COST_AT)
    local position, eta = position_of(lane, lane.flow, 16)
    lane.first = position - lane.count
    lane.text = format('%d %%d %.0f', now, eta)
  end
  for index, lane in pairs(lane_at) do
    if replies[index] == now then
      replies[index] = format(lane.text, max(0, lane.first + ordinal_at[index]))
    end
  end
end

local replies, problem, failure = idem_each(submit)
flush_all()
if want_position and not problem and not failure then
  tell_positions(replies)
end
for model, fields in pairs(submitted) do
  for field, n in pairs(fields) do
    count(model, field, n)
    count(model, 'submitted', n)
    count('', field == 'delayed' and 'delayed' or 'queued', n)
  end
  wake(model)
end
return idem_reply(replies, problem, failure)
