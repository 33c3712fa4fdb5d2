-- SPDX-License-Identifier: MIT
-- @use base record lane position
-- submit: admit jobs, write their records, put them into their lanes.
--
-- ARGV  max queued of the shard, max queued of a flow and model, 1 to answer with positions, count;
--       then of each job: public id, model, flow, priority, cost ms, charge, max attempts, run at
--       (ms since 1970, 0 now), 1 if it has an input, extension, address hash, blob, spec
-- Reply of each job: {status, state letter, created ms, position, eta ms}; status 0 accepted, 1 was
--       there already (a repeated call; nothing changed), 2 the shard is full, 3 the flow is full,
--       4 the id belongs to another job
-- Crash: all or nothing. At maxmemory refused with OOM before anything is written.
-- First write is RPUSH or SET, which Redis refuses when out of memory: keep it so.
local max_queued, max_flow, want_position = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local queued = tonumber(call('HGET', P .. 'c:', 'queued')) or 0
local seen, replies = {}, {}

local function repeated(public_id, id)
  local r, problem = load(id)
  if not r then
    return nil, problem
  end
  if public_id_of(r) ~= public_id then
    return {4, r.state, 0, -1, -1}
  end
  local position, eta = -1, -1
  if want_position then
    position, eta = position_of(r, 16)
  end
  return {1, r.state, r.created, position, eta}
end

local function accept(i, public_id, id, model, flow)
  local run_at = tonumber(ARGV[i + 7])
  local r = {
    id = id, state = run_at > now and 'D' or 'Q', flags = ARGV[i + 8] == '1' and FLAG_INPUT or 0,
    priority = tonumber(ARGV[i + 3]), epoch = 0, attempts = 0,
    max_attempts = tonumber(ARGV[i + 6]), losses = 0, crashes = 0, progress = 0,
    cost = tonumber(ARGV[i + 4]), charge = tonumber(ARGV[i + 5]), created = now, updated = now,
    place = 0, id1 = tonumber(sub(public_id, 15, 22), 16), id2 = tonumber(sub(public_id, 23, 28), 16),
    id3 = tonumber(sub(public_id, 29, 34), 16), model_size = #model, flow_size = #flow,
    extension_size = #ARGV[i + 9], address_size = #ARGV[i + 10], blob_size = #ARGV[i + 11],
    spec_size = #ARGV[i + 12], model = model,
  }
  local body = model .. flow .. ARGV[i + 9] .. ARGV[i + 10] .. ARGV[i + 11] .. ARGV[i + 12]
  -- flow_of() reads the flow behind the head; the head itself is packed once the place is known.
  r.raw = string.rep(' ', HEAD_SIZE) .. body
  if r.state == 'Q' then
    lane_push(r, false, false)
  else
    call('ZADD', P .. 'delay', run_at, id)
  end
  call('SET', P .. 'j:' .. id, head_of(r) .. body)
  count_state(r, 1)
  count(model, 'submitted', 1)
  if not seen[model] then
    seen[model] = true
    call('SADD', P .. 'models', model)
    call('HSET', P .. 'c:' .. model, 'cost', r.cost)
  end
  return r
end

for i = 5, 4 + 13 * ARGV[4], 13 do
  local public_id, model, flow = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local id = sub(public_id, 3, 14)
  local lane = P .. 'r:' .. model .. ':' .. ARGV[i + 3] .. ':' .. flow
  local reply
  if call('EXISTS', P .. 'j:' .. id) == 1 then
    local problem
    reply, problem = repeated(public_id, id)
    if not reply then
      -- Earlier jobs of this call stay accepted: repeating the call finds them.
      finish()
      return redis.error_reply(problem)
    end
  elseif queued >= max_queued then
    reply = {2, 'Q', 0, -1, -1}
  elseif call('LLEN', lane) >= max_flow then
    reply = {3, 'Q', 0, -1, -1}
  else
    local r = accept(i, public_id, id, model, flow)
    queued = queued + 1
    local position, eta = -1, -1
    if want_position then
      position, eta = position_of(r, 16)
    end
    reply = {0, r.state, now, position, eta}
  end
  replies[#replies + 1] = reply
end
for model in pairs(seen) do
  wake(model)
end
return finish(replies)
