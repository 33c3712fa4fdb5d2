-- SPDX-License-Identifier: MIT
-- settle: how a job leaves `running`, and how it ends.

-- The lease is void from here on. The caller saves the record.
local function lease_drop(r)
  call('ZREM', P .. 'lease', r.id)
  call('HDEL', P .. 'run', r.id)
  if has(r, FLAG_LIMITED) then
    set_flag(r, FLAG_LIMITED, false)
    let_go(flow_of(r), r.id)
  end
end

-- Tells the worker of a running job to ask for news now instead of at its next heartbeat.
local function push_worker(r)
  local run = call('HGET', P .. 'run', r.id)
  local worker = run and string.match(run, '^(%S+)')
  if worker then
    local key = P .. 'push:' .. worker
    if call('LLEN', key) == 0 then
      call('RPUSH', key, '1')
      call('PEXPIRE', key, 60000)
    end
  end
end

-- Adds to the attempt history, which only a job that had trouble has.
local function note_attempt(r, what)
  local key = P .. 'h:' .. r.id
  call('RPUSH', key, r.epoch .. ' ' .. format('%.0f', now) .. ' ' .. what)
  call('LTRIM', key, -HISTORY_KEPT, -1)
end

-- The notification leaves with the state, or neither does: if anybody is to be told how a job ends, by
-- mail (not of a cancel), by a webhook of its own, or because its account has endpoints, which is
-- looked up once per script. The whole record goes into the outbox: rows are made from it later,
-- whatever becomes of the job meanwhile.
local listening = {}

local function listens(flow)
  if listening[flow] == nil then
    listening[flow] = is_account(flow) and call('EXISTS', P .. 'hooks:' .. flow) == 1
  end
  return listening[flow]
end

local function announce(public_id, raw, state, flow, blob_size, extra)
  if (blob_size > 0 and state ~= 'C') or (flow and listens(flow)) or
    (extra ~= '' and string.find('\n' .. extra, '\nw=', 1, true)) then
    outbox[#outbox + 1] = {'id', public_id, 'record', raw}
  end
end

local function notify(r, outcome)
  local flow, body_end = flow_of(r), r.body_end
  announce(public_id_of(r), head_of(r) .. sub(r.raw, HEAD_SIZE + 1, body_end) .. outcome, r.state,
    flow, r.blob_size, sub(r.raw, body_end - r.extra_size + 1, body_end))
end

-- How long a model's inputs and finished jobs are kept; asked once in a script.
local retentions = {}

local function retention_of(model, retain_ms)
  local known = retentions[model]
  if not known then
    local ms = call('HMGET', P .. 'm:' .. model, 'input', 'result')
    local result = tonumber(ms[2]) or 0
    known = {input = max(UNDO_WINDOW_MS, tonumber(ms[1]) or 0), result = result > 0 and result or retain_ms}
    retentions[model] = known
  end
  return known
end

-- Whoever waits for a job hears of its end: here it gets into line, kin.lua does the rest. The letter is its
-- state, or X for erased.
local ended_parents = false

local function tell_kin(id, letter)
  if call('SREM', P .. 'parents', id) == 1 then
    call('RPUSH', P .. 'kin', id .. letter)
    ended_parents = true
  end
end

-- A job that needs its input no more: its parent's result may go.
local function drop_heritage(id, extra)
  local from = string.match('\n' .. extra, '\nf=%x%x(%x%x%x%x%x%x%x%x%x%x%x%x)')
  if from then
    call('SREM', P .. 'heirs:' .. from, id)
  end
end

local function drop_heritage_of(r)
  if r.extra_size > 0 then
    drop_heritage(r.id, sub(r.raw, r.body_end - r.extra_size + 1, r.body_end))
  end
end

-- Ends a job whose state is final already: kept for a while, announced, cleaned up behind.
local function settle_final(r, retain_ms, outcome)
  local keep = retention_of(r.model, retain_ms)
  set_flag(r, FLAG_SUSPECT, false)
  set_flag(r, FLAG_ALONE, false)
  kept[#kept + 1] = format('%d', now + keep.result)
  kept[#kept + 1] = r.id
  -- The dead letter keeps its input, or it could not be replayed.
  if not has(r, FLAG_DEAD) then
    throw_away_input(r, now + keep.input)
    drop_heritage_of(r)
  end
  tell_kin(r.id, r.state)
  notify(r, outcome)
  save_with_outcome(r, outcome)
end

local function bury(r, retain_ms, outcome)
  move(r, 'F')
  set_flag(r, FLAG_DEAD, true)
  count(r.model, 'dead', 1)
  call('ZADD', P .. 'dlq', now, r.id)
  throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
  settle_final(r, retain_ms, outcome)
end

-- Takes a job out of wherever it is because its owner said so; the caller saves or deletes it.
local function pull_out(r)
  if r.state == 'Q' then
    lane_bury(r)
  elseif r.state == 'D' then
    call('ZREM', P .. 'delay', r.id)
    if has(r, FLAG_WAITING) then
      call('HDEL', P .. 'need', r.id)
      set_flag(r, FLAG_WAITING, false)
    end
  elseif r.state == 'R' then
    push_worker(r)
    lease_drop(r)
  end
end

-- Ends a job that is not final as failed, wherever it is: not by a worker, and not for the dead letter.
local function end_failed(r, retain_ms, outcome)
  pull_out(r)
  move(r, 'F')
  throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
  settle_final(r, retain_ms, outcome)
end
