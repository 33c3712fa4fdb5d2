-- SPDX-License-Identifier: MIT
-- settle: how a job leaves `running`, and how it ends.

-- The lease is void from here on. `started` is when the claim was made, nil if unknown.
local function lease_drop(r)
  call('ZREM', P .. 'lease', r.id)
  call('HDEL', P .. 'run', r.id)
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

-- The notification leaves with the state, or neither does.
local function notify(r)
  if r.blob_size > 0 then
    outbox[#outbox + 1] = {'id', public_id_of(r), 'model', r.model, 'state', r.state,
      'address', address_of(r), 'blob', blob_of(r)}
  end
end

-- Ends a job whose state is final already: kept for retain_ms, announced, cleaned up behind.
local function settle_final(r, retain_ms, outcome)
  set_flag(r, FLAG_SUSPECT, false)
  set_flag(r, FLAG_ALONE, false)
  kept[#kept + 1] = format('%d', now + retain_ms)
  kept[#kept + 1] = r.id
  -- The dead letter keeps its input, or it could not be replayed.
  if not has(r, FLAG_DEAD) then
    throw_away_input(r)
  end
  if r.state ~= 'C' then
    notify(r)
  end
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
  elseif r.state == 'R' then
    push_worker(r)
    lease_drop(r)
  end
end

-- Removes every trace but the events, which hold nothing but the id and age out.
local function erase(r)
  local notify_id = public_id_of(r) .. '.m'
  pull_out(r)
  throw_away_input(r)
  if r.state == 'S' then
    throw_away_results(r, r.epoch, r.epoch, now)
  elseif r.state ~= 'F' and r.state ~= 'C' then
    throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
  end
  if r.state == 'S' or r.state == 'F' or r.state == 'C' then
    call('ZREM', P .. 'done', r.id)
  else
    count_state(r, -1)
  end
  if has(r, FLAG_DEAD) then
    call('ZREM', P .. 'dlq', r.id)
    count(r.model, 'dead', -1)
  end
  call('ZREM', P .. 'due', notify_id)
  call('ZREM', P .. 'unsent', notify_id)
  call('DEL', P .. 'j:' .. r.id, P .. 'h:' .. r.id, P .. 'n:' .. notify_id, P .. 'sent:' .. notify_id)
  note_event(r, 'X')
end
