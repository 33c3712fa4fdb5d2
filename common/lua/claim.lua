-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle reap admit allow order
-- claim: lease up to `max` jobs of one model to a worker.
--
-- ARGV  worker, nonce, lease ms, retain ms, max, shard (+ 256 where it is one of several), models in the worker's
--       order of preference…
-- Reply {{id, record, head, id, record, head, …}, 1 if more jobs of that model wait or 2 if the worker shall stop
--       claiming, ms until the next delayed job comes in or -1, shard, when the job was submitted that comes next or
--       0}. A head that is not empty takes the place of the record's first bytes, which saves two copies of every
--       record here.
-- A repeated call with the same nonce gives the same jobs (those still leased) and renews them, so
-- a lost reply costs nothing. Crash after the script: the lease runs out, and the job goes back.
-- Order: the first model that has jobs; high before normal before low, but every 16th claim the other
-- way round, so that nobody starves; between flows by the ring. A suspect is claimed alone.
local worker, nonce, lease_ms, retain_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, shard = tonumber(ARGV[5]), tonumber(ARGV[6]) % 256
local several = tonumber(ARGV[6]) > 255
local MANY = 16
local POPS_MAX = 2000 -- dead places that one claim clears away at most
local JOBS, SHARD, QUEUED = P .. 'j:', sub(P, 4, 5), VERSION .. 'Q'
local pops, started = 0, 0
local claimed, leases, runs, remembered = {}, {}, {}, {}
local event_of = {} -- model → how its event is written
local limited, full = false, false -- has any flow a limit, was anybody refused lately?

local deadline, run_value = format('%d', now + lease_ms), worker .. ' ' .. format('%d', now)

-- Notes one job; `n` saves asking each table for its length again and again.
local n = 0

local function give(id, raw, head)
  leases[2 * n + 1], leases[2 * n + 2] = deadline, id
  runs[2 * n + 1], runs[2 * n + 2] = id, run_value
  claimed[3 * n + 1], claimed[3 * n + 2], claimed[3 * n + 3] = id, raw, head
  n = n + 1
  remembered[n] = id
end

-- Still leased by that very claim: `run` says by whom, and since when.
local function replay(known)
  local since, ids = string.match(known, '^(%d+)(.*)$')
  for id in string.gmatch(ids or '', '%x+') do
    local r = load(id)
    if r and r.state == 'R' and call('HGET', P .. 'run', id) == worker .. ' ' .. since then
      give(id, r.raw, '')
    end
  end
  if #leases > 0 then
    call('ZADD', P .. 'lease', unpack(leases))
  end
end

-- The usual job, without the detour over a table; its charge and place, or nil where it is not usual.
local function start(id, key, model, hold)
  local raw = try('GET', key)
  if not raw or #raw < HEAD_SIZE then
    return nil
  end
  local first, flags, epoch, _, place, _, charge, id1, id2, model_size, flow_size, extension_size, address_size,
    blob_size, spec_size, extra_size = struct.unpack(PEEK, raw)
  if first ~= QUEUED or flags % 16 >= FLAG_SUSPECT or model_size ~= #model or flow_size > 64 or
    extension_size > 8 or #raw < HEAD_SIZE + model_size + flow_size + extension_size + address_size +
      blob_size + spec_size + extra_size then
    return nil
  end
  epoch = epoch + 1
  if hold then
    flags = flags % 16 + FLAG_LIMITED + floor(flags / 32) * 32
    hold[#hold + 1] = id
  end
  local head = patch('R', flags, epoch, 0, place)
  call('SETRANGE', key, '0', head)
  give(id, raw, head)
  events[#events + 1] = format(event_of[model], id, id1, id2)
  return charge, place
end

-- The same for a suspect.
local function start_alone(r, hold)
  r.epoch = r.epoch + 1
  r.progress = 0
  if hold then
    set_flag(r, FLAG_LIMITED, true)
    hold[#hold + 1] = r.id
  end
  set_flag(r, FLAG_ALONE, true)
  move(r, 'R')
  save(r)
  give(r.id, r.raw, sub(head_of(r), 1, PATCH_SIZE))
end

-- A popped id that is not waiting: cancelled, erased, unreadable or deleted by hand.
local function skip(r, id, model, set, flow, priority)
  if call('ZREM', P .. 'tomb:' .. set .. ':' .. flow, id) == 1 then
    count(model, 'tombs', -1)
  elseif not r then
    count(model, 'queued' .. priority, -1)
    count('', 'queued', -1)
  end
  if r == false then
    quarantine(id)
  end
end

-- Which of two flows is served first.
local function precedes(a, b)
  return a.tag < b.tag or a.tag == b.tag and a.flow < b.flow
end

-- Flows that were served already, as a heap: most often a new one goes to its end, and that is all.
local function push(heap, flow)
  local at = #heap + 1
  while at > 1 do
    local above = floor(at / 2)
    if not precedes(flow, heap[above]) then
      break
    end
    heap[at] = heap[above]
    at = above
  end
  heap[at] = flow
end

local function is_over(flow)
  return flow.dry or flow.allow and flow.allow.left < 1
end

-- Of `fresh` those behind `first`, up to `last`, who have jobs left; gives `last`.
local function push_served(heap, fresh, first, last)
  for i = first + 1, last do
    if not is_over(fresh[i]) then
      push(heap, fresh[i])
    end
  end
  return last
end

-- The root has changed.
local function sift(heap, size)
  local at = 1
  while true do
    local least, left = at, 2 * at
    for child = left, min(left + 1, size) do
      if precedes(heap[child], heap[least]) then
        least = child
      end
    end
    if least == at then
      return
    end
    heap[at], heap[least] = heap[least], heap[at]
    at = least
  end
end

-- A lane that is none must not stop those beside it: its flow leaves the ring, and fsck tells.
local function put_aside(top, set)
  call('ZREM', P .. 'ring:' .. set, top.flow)
  top.dry, top.foreign = true, true
end

-- Takes the head of the top flow's lane. Sets top.dry once the lane is empty; true when a suspect ends
-- the batch.
local function serve(top, model, set, priority, lanes)
  local lane = lanes .. top.flow
  local id = try('LPOP', lane)
  if not id then
    top.dry = true
    return false
  elseif type(id) == 'table' then
    put_aside(top, set)
    return false
  end
  pops = pops + 1
  local hold = top.allow and top.allow.hold
  local charge, place = start(id, JOBS .. id, model, hold)
  if charge then
    started = started + 1
    top.tag = top.tag + charge
    -- The last place of the lane: nothing is behind it.
    if place == top.tail then
      top.dry = true
    end
    return false
  end
  local r = load(id)
  local alone = false
  if not r or r.state ~= 'Q' then
    skip(r, id, model, set, top.flow, priority)
  elseif n > 0 then
    call('LPUSH', lane, id)
    return true
  else
    start_alone(r, hold)
    top.tag = top.tag + r.charge
    alone = true
  end
  top.dry = call('LLEN', lane) == 0
  return alone
end

-- So many flows, lowest first, are all that can be served by this claim, once those at their limit are
-- parked. The second result: some were, so that others behind them may be served.
local function lowest_flows(set)
  local lowest = call('ZRANGE', P .. 'ring:' .. set, 0, limit - n - 1, 'WITHSCORES')
  local fresh, names, parked = {}, {}, false
  for i = 1, #lowest, 2 do
    names[#names + 1] = lowest[i]
  end
  local tails = #names > 0 and call('HMGET', P .. 'tail:' .. set, unpack(names)) or {}
  local texts = {}
  if limited and #names > 0 then
    names[#names + 1] = '*'
    texts = call('HMGET', P .. 'limits', unpack(names))
    names[#names] = nil
  end
  for i = 1, #names do
    local flow, tag = names[i], tonumber(lowest[2 * i])
    local allow = limited and
      allowance(flow, texts[i] or sub(flow, 1, 1) == 'v' and texts[#names + 1] or nil)
    if allow and allow.left < 1 then
      park(set, flow, tag, allow.again)
      parked, pops = true, pops + 1
    else
      fresh[#fresh + 1] = {flow = flow, tag = tag, tail = tonumber(tails[i]), allow = allow or nil}
    end
  end
  return fresh, parked
end

-- What was served, the first `touched`, is written back: dry lanes close, the others move on in the ring.
local function put_back(flows, touched, model, set, clock)
  local tags, any_tombs = {}, counted(model, 'tombs') > 0
  for i = 1, touched do
    local flow, tombs = flows[i], 0
    if any_tombs and not flow.dry then
      tombs = call('ZCARD', P .. 'tomb:' .. set .. ':' .. flow.flow)
      flow.dry = tombs > 0 and tombs >= call('LLEN', P .. 'r:' .. set .. ':' .. flow.flow)
    end
    if flow.foreign then
      call('ZADD', P .. 'corrupt', now, 'r:' .. set .. ':' .. flow.flow)
    elseif flow.dry then
      lane_close(set, flow.flow, flow.tag, clock)
      count(model, 'tombs', -tombs)
    elseif flow.allow and flow.allow.left < 1 then
      park(set, flow.flow, flow.tag, flow.allow.again)
    else
      tags[#tags + 1] = format('%d', flow.tag)
      tags[#tags + 1] = flow.flow
    end
  end
  if #tags > 0 then
    call('ZADD', P .. 'ring:' .. set, unpack(tags))
  end
end

local function tell_room(flows, touched, set)
  local fields = {'*'}
  for i = 1, touched do
    fields[i + 1] = set .. ':' .. flows[i].flow
  end
  local texts = call('HMGET', P .. 'full', unpack(fields))
  for i = 1, #fields do
    if texts[i] then
      made_room(fields[i], texts[i])
    end
  end
end

-- Serves flows until `limit` jobs are claimed; true when a suspect ended the batch. `fresh` are those of the
-- ring in its order; the first of them or the first of `again`, who were served before, is next. Those are
-- sorted no earlier than one of them is the next: `least` is their first, those up to `sorted` are in the heap.
local function take(model, priority)
  local set = model .. ':' .. priority
  local fresh, parked = lowest_flows(set)
  if #fresh == 0 then
    return parked and pops < POPS_MAX and take(model, priority)
  end
  local clock_key, lanes = P .. 'clock:' .. set, P .. 'r:' .. set .. ':'
  local clock = tonumber(call('GET', clock_key)) or 0
  local again, sorted, least, touched, alone = {}, 0, nil, 0, false
  event_of[model] = SHARD .. '%s%010x%010x R0 ' .. model
  started = 0
  while n < limit and pops < POPS_MAX and not alone do
    local top = fresh[touched + 1]
    local is_fresh = top and not (least and precedes(least, top))
    if is_fresh then
      touched = touched + 1
    elseif not least then
      break
    else
      sorted = push_served(again, fresh, sorted, touched)
      top = least
    end
    local before, held, allow = top.tag, n, top.allow
    alone = serve(top, model, set, priority, lanes)
    if n > held then
      clock = max(clock, before)
      if allow then
        allow.left, allow.started = allow.left - 1, allow.started + 1
      end
    end
    if not is_fresh then
      if is_over(top) then
        again[1] = again[#again]
        again[#again] = nil
      end
      sift(again, #again)
      least = again[1]
    elseif not (least and least.tag < top.tag) and not is_over(top) and not (least and precedes(least, top)) then
      least = top
    end
  end
  count(model, 'queued' .. priority, -started)
  count('', 'queued', -started)
  count(model, 'running', started)
  put_back(fresh, touched, model, set, clock)
  if full and started > 0 then
    tell_room(fresh, touched, set)
  end
  call('SET', clock_key, format('%d', clock))
  call('ZREMRANGEBYSCORE', P .. 'idle:' .. set, '-inf', clock)
  if parked and n < limit and not alone and pops < POPS_MAX then
    return take(model, priority)
  end
  return alone
end

local function waiting(model)
  return any_waits(ring_keys({model}, nil, 0, 2, 1))
end

-- High to low, but for every 16th claim.
local function priorities(model)
  if call('HINCRBY', P .. 'c:' .. model, 'claims', 1) % 16 == 0 then
    return 2, 0, -1
  end
  return 0, 2, 1
end

local function claim_of(model)
  if not waiting(model) then
    return
  end
  local first, last, step = priorities(model)
  for priority = first, last, step do
    if n < limit and take(model, priority) then
      break
    end
  end
end

-- All jobs of a claim are of one model: once one has given some, it fills the rest of the batch from its
-- lower classes, unless another model has something better.
local function claim_in_order(models)
  local due = past_due(models)
  if due then
    claim_of(due)
  end
  if n > 0 or not any_waits(ring_keys(models, nil, 0, 2, 1)) then
    return due
  end
  local chosen
  local first, last, step = priorities('')
  for priority = first, last, step do
    if chosen and any_waits(ring_keys(models, chosen, first, priority, step)) then
      break
    end
    for i = 1, #models do
      if n < limit and (not chosen or chosen == models[i]) then
        local alone = take(models[i], priority)
        chosen = chosen or n > 0 and models[i]
        if alone then
          return chosen
        end
      end
    end
  end
  return chosen
end

-- The models that may be claimed from, and that more wait: 1, or 2 for a worker that shall not claim. One question
-- for all that is rare.
local function look_around()
  local models, rare = {}, {P .. 'limits', P .. 'full', P .. 'drain:' .. worker}
  for i = 7, #ARGV do
    models[#models + 1] = ARGV[i]
    rare[#rare + 1] = P .. 'pause:' .. ARGV[i]
  end
  if call('EXISTS', unpack(rare)) == 0 then
    return models, 0
  elseif call('EXISTS', rare[3]) == 1 then
    return {}, 2
  end
  limited, full = call('EXISTS', rare[1]) == 1, call('EXISTS', rare[2]) == 1
  local open = {}
  for i = 1, #models do
    if call('EXISTS', P .. 'pause:' .. models[i]) == 0 then
      open[#open + 1] = models[i]
    end
  end
  return open, 0
end

-- ms until something comes in by itself.
local function next_due()
  local due = call('ZRANGE', P .. 'delay', 0, 0, 'WITHSCORES')[2]
  local look = call('ZRANGE', P .. 'park', 0, 0, 'WITHSCORES')[2]
  due = look and min(tonumber(due) or look, look) or due
  return due and max(0, floor(due - now)) or -1
end

-- What the worker claimed last; an error where it is of another protocol, whose records it would not know.
local function nonce_of(name)
  local values = call('MGET', P .. 'protocol', P .. 'nonce:' .. name)
  check_protocol(values[1])
  return values[2]
end

local known = nonce_of(worker)
-- Before anything is started: could it be leased?
call('ZCARD', P .. 'lease')
local running = call('HLEN', P .. 'run')
if reap_due(min(100, lease_ms / 20)) then
  reap(16, lease_ms, retain_ms, 0)
end
if known and sub(known, 1, #nonce + 1) == nonce .. ' ' then
  replay(sub(known, #nonce + 2))
  return finish({claimed, 0, -1, shard, 0})
end
local models, more = look_around()

local function choose()
  if #models == 1 then
    claim_of(models[1])
  elseif #models > 1 then
    claim_in_order(models)
  end
  -- The next idle worker, if there is one. Who shall stop may have taken somebody's wake-up.
  for i = 1, more == 2 and #ARGV - 6 or #models do
    local model = models[i] or ARGV[6 + i]
    if waiting(model) then
      more = max(more, 1)
      wake(model)
    end
  end
end

-- Whatever key may be broken: a job that was started has a lease.
local whole, problem = pcall(choose)
if not whole and n == 0 then
  error(problem, 0)
end
if limited then
  settle_limits()
end
-- When the job was submitted that would come next, where there are several shards: a worker turns to the
-- one whose job has waited longest. Bytes 19 to 24 of a record, see record.lua.
local upcoming = 0
if several and more == 1 then
  pcall(function()
    for i = 1, 3 * #models do
      local set = models[floor((i + 2) / 3)] .. ':' .. (i + 2) % 3
      local flow = call('ZRANGE', P .. 'ring:' .. set, 0, 0)[1]
      local id = flow and call('LINDEX', P .. 'r:' .. set .. ':' .. flow, 0)
      local created = id and call('GETRANGE', P .. 'j:' .. id, 19, 24) or ''
      if #created == 6 then
        upcoming = struct.unpack('>I6', created)
        break
      end
    end
  end)
end
-- Small hashes and sets are kept as lists, which Redis before 7.2 walks through for each of many fields until
-- there are too many of them. One with a long value is no list.
local long = running == 0 and n >= MANY and string.rep('-', 65)
if long then
  call('ZADD', P .. 'lease', 0, long)
  call('HSET', P .. 'run', long, '')
end
if n > 0 then
  call('ZADD', P .. 'lease', unpack(leases))
  call('HSET', P .. 'run', unpack(runs))
  if long then
    call('ZREM', P .. 'lease', long)
    call('HDEL', P .. 'run', long)
  end
  call('SET', P .. 'nonce:' .. worker, format('%s %d %s', nonce, now, table.concat(remembered, ' ')), 'PX',
    max(60000, 2 * lease_ms))
  return finish({claimed, more, -1, shard, upcoming})
end
return finish({claimed, more, next_due(), shard, upcoming})
