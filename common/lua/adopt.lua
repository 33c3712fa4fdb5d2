-- SPDX-License-Identifier: MIT
-- @use base record lane flow settle index kin admit idem
-- adopt: submit, for jobs that wait for others or for the sealing of their batch.
--
-- ARGV, reply and statuses as of submit (the record has FLAG_WAITING and the lines p, f, b of extra), and retain
--       ms behind the last job. Further statuses: 5 a parent does not exist (any more), or belongs to another
--       flow; 6 the batch is not open
-- Parents that have succeeded count as done, so a job may be queued at once; one that has failed fails
-- it at once. Crash: all or nothing.
local max_queued = tonumber(ARGV[1])
local retain_ms = tonumber(ARGV[#ARGV])
local room = room_for_jobs(max_queued)
local verbs, retry_ms = kin_verbs(retain_ms), nil

-- The parents that have not ended, and one that ended badly; or nil and a status.
local function look_at_parents(extra, flow)
  local pending, bad = {}, nil
  for public_id in string.gmatch(string.match(extra, '\np=([^\n]*)') or '', '%x+') do
    local r, problem = load(sub(public_id, 3, 14))
    if r == false then
      return nil, problem
    elseif not r or public_id_of(r) ~= public_id or flow_of(r) ~= flow then
      return nil, 5
    elseif r.state == 'F' or r.state == 'C' then
      bad = r
    elseif r.state ~= 'S' then
      pending[#pending + 1] = r.id
    end
  end
  return pending, bad
end

-- What jobs of a batch have alike is written once for all of them: batch → lists of arguments.
local batches, models = {}, {}

local function add_to_batch(batch, public_id, id, waits, due)
  local b = batches[batch]
  if not b then
    b = {jobs = {}, kids = {}, delay = {}, need = {}}
    batches[batch] = b
  end
  b.jobs[#b.jobs + 1] = sub(public_id, 3)
  if waits then
    b.kids[#b.kids + 1] = id
    b.delay[#b.delay + 1], b.delay[#b.delay + 2] = due, id
    b.need[#b.need + 1], b.need[#b.need + 2] = id, waits
  end
end

local function write_batches()
  for batch, b in pairs(batches) do
    call('RPUSH', P .. 'bj:' .. batch, unpack(b.jobs))
    call('HINCRBY', P .. 'b:' .. batch, 'left', #b.jobs)
    call('ZADD', P .. 'open', 'XX', format('%d', now + OPEN_MS), batch)
    if #b.kids > 0 then
      call('RPUSH', P .. 'kids:' .. batch, unpack(b.kids))
      call('ZADD', P .. 'delay', unpack(b.delay))
      call('HSET', P .. 'need', unpack(b.need))
    end
  end
end

-- `bad`: it is about to fail, and waits for nobody.
local function write(public_id, id, run_at, packed, extra, pending, bad, batch, from)
  local key = P .. 'j:' .. id
  call('SET', key, packed)
  call('SETRANGE', key, '1', 'D')
  call('SETRANGE', key, '8', struct.pack('>I6I5I6', now, 0, now))
  if batch then
    add_to_batch(batch, public_id, id, not bad and format('%d', #pending + 1), format('%d', FAR + run_at))
  elseif not bad then
    call('ZADD', P .. 'delay', format('%d', FAR + run_at), id)
    call('HSET', P .. 'need', id, #pending)
  end
  for i = 1, bad and 0 or #pending do
    call('RPUSH', P .. 'kids:' .. pending[i], id)
    call('SADD', P .. 'parents', pending[i])
  end
  if from then
    call('SADD', P .. 'heirs:' .. from, id)
  end
  -- One that counts from its release is set then.
  local deadline = string.match(extra, '\nd=(%d+)')
  if deadline then
    call('ZADD', P .. 'deadline', deadline, id)
  end
end

local function note_model(model, packed)
  if not models[model] then
    models[model] = true
    call('SADD', P .. 'models', model)
    call('HSET', P .. 'c:' .. model, 'cost', (struct.unpack('>I3', packed, 32)))
  end
end

local function refused(model)
  retry_ms = retry_ms or retry_after('*', guess_of(model))
  return {2, 'Q', retry_ms, -1, -1}
end

local function adopt(i)
  local public_id, model, flow, packed = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local id, run_at = sub(public_id, 3, 14), tonumber(ARGV[i + 4])
  local there, problem = load(id)
  if there == false then
    return nil, problem
  elseif there then
    return {public_id_of(there) == public_id and 1 or 4, there.state, there.created, -1, -1}
  end
  local extra_size = struct.unpack('>I2', packed, 56)
  local extra = '\n' .. sub(packed, -extra_size)
  local batch = string.match(extra, '\nb=%x%x(%x%x%x%x%x%x%x%x%x%x%x%x)')
  local from = string.match(extra, '\nf=%x%x(%x%x%x%x%x%x%x%x%x%x%x%x)')
  if room <= 0 and not batch then -- which has room since it was opened
    return refused(model)
  elseif batch and call('HGET', P .. 'b:' .. batch, 'sealed') ~= '0' then
    return {6, 'Q', 0, -1, -1}
  end
  local pending, bad = look_at_parents(extra, flow)
  if not pending then
    if type(bad) == 'string' then
      return nil, bad
    end
    return {bad, 'Q', 0, -1, -1}
  end
  write(public_id, id, run_at, packed, extra, pending, bad, batch, from)
  index_add(id, flow, packed)
  room = room - 1
  note_model(model, packed)
  count(model, 'submitted', 1)
  local r = parse(id, packed)
  r.state, r.created, r.updated = 'D', now, now
  count_state(r, 1)
  if bad then
    verbs.fail(r, bad.id, bad.state)
  elseif #pending == 0 and not batch then
    verbs.release(r)
  else
    note_event(r, 'D')
  end
  return {0, r.state, now, -1, -1}
end

local replies, problem, failure = idem_each(adopt)
write_batches()
settle_own_kin(retain_ms)
return idem_reply(replies, problem, failure)
