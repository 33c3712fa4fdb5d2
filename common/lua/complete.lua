-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle
-- complete: a job succeeded. State, result, event, notification and the trash in one.
--
-- ARGV  worker, retain ms, then of each job: id, epoch, public id, extension, outcome
-- Reply verdicts: 1 settled, 2 was settled so already, 3 cancelled meanwhile, 4 lost
-- A completion with another epoch than the job's is refused, and what it uploaded is thrown away.
local retain_ms = tonumber(ARGV[2])
local ids, reply, elapsed = {}, {}, {}
for i = 3, #ARGV, 5 do
  ids[#ids + 1] = ARGV[i]
end
local started_at = call('HMGET', P .. 'run', unpack(ids))
local left, succeeded = {}, {}
local expiries, dues = {}, {} -- of each model: when its jobs are forgotten, and their inputs deleted

local function sweep(r, public_id, epoch, extension)
  -- Only what this job may have written: never the winner's, never another job's.
  local mine = r and public_id_of(r) == public_id and epoch <= r.epoch and
    not (r.state == 'S' and r.epoch == epoch)
  if mine or (r == nil and string.match(public_id, '^%x+$') and string.match(extension, '^%w+$')) then
    throw_away('results/' .. public_id .. '/' .. epoch .. '/result.' .. extension, now)
  end
end

-- One sample of a call is enough: what is completed together was mostly claimed together.
local function note_elapsed(model, run)
  local start = run and not elapsed[model] and tonumber(string.match(run, ' (%d+)$'))
  if start then
    elapsed[model] = max(0, now - start)
  end
end

-- The usual job, without the detour over a table; nil where it is not running under this epoch.
local function settle(id, raw, epoch, outcome, run)
  if peek_state(raw) ~= 'R' then
    return nil
  end
  local flags, its_epoch, _, _, id1, id2, model_size, flow_size, extension_size, address_size,
    blob_size, spec_size, extra_size = struct.unpack(PEEK, raw)
  local body_end = HEAD_SIZE + model_size + flow_size + extension_size + address_size + blob_size +
    spec_size + extra_size
  if its_epoch ~= epoch or #raw < body_end then
    return nil
  end
  local model = sub(raw, HEAD_SIZE + 1, HEAD_SIZE + model_size)
  local public_id = sub(P, 4, 5) .. id .. format('%010x%010x', id1, id2)
  if not expiries[model] then
    local keep = retention_of(model, retain_ms)
    expiries[model], dues[model] = format('%d', now + keep.result), format('%d', now + keep.input)
  end
  -- Ends as settle_final() does: no suspect any more, its input thrown away.
  if flags % 2 == FLAG_INPUT then
    throw_away('inputs/' .. public_id, dues[model])
  end
  if flags % 32 >= FLAG_LIMITED then
    let_go(sub(raw, HEAD_SIZE + model_size + 1, HEAD_SIZE + model_size + flow_size), id)
  end
  local record = patch('S', flags - flags % 32, epoch, 1000) .. sub(raw, PATCH_SIZE + 1, body_end) ..
    outcome
  call('SET', P .. 'j:' .. id, record)
  events[#events + 1] = public_id .. ' S1000 ' .. model
  kept[#kept + 1] = expiries[model]
  kept[#kept + 1] = id
  left[#left + 1] = id
  succeeded[model] = (succeeded[model] or 0) + 1
  -- What most jobs have is decided by lengths alone.
  if blob_size > 0 or extra_size > 0 or flow_size == 17 then
    local flow = sub(raw, HEAD_SIZE + model_size + 1, HEAD_SIZE + model_size + flow_size)
    announce(public_id, record, 'S', is_account(flow) and flow, blob_size,
      sub(raw, body_end - extra_size + 1, body_end))
  end
  if epoch > 1 then
    throw_away_results(load(id), 1, epoch - 1, now + UPLOAD_WINDOW_MS)
  end
  note_elapsed(model, run)
  return true
end

-- Settled before, cancelled, or somebody else's by now.
local function refuse(id, epoch, public_id, extension)
  local r = load(id)
  if r and r.epoch == epoch and r.state == 'S' then
    return 2
  end
  if sub(public_id, 3, 14) == id then
    sweep(r, public_id, epoch, extension)
  end
  return r and r.epoch == epoch and r.state == 'C' and 3 or 4
end

for i = 3, #ARGV, 5 do
  local id, epoch = ARGV[i], tonumber(ARGV[i + 1])
  local done = settle(id, call('GET', P .. 'j:' .. id), epoch, ARGV[i + 4], started_at[(i + 2) / 5])
  reply[#reply + 1] = done and 1 or refuse(id, epoch, ARGV[i + 2], ARGV[i + 3])
end
for model, n in pairs(succeeded) do
  count(model, 'succeeded', n)
  count(model, 'running', -n)
end
if #left > 0 then
  call('ZREM', P .. 'lease', unpack(left))
  call('HDEL', P .. 'run', unpack(left))
end
for model, new in pairs(elapsed) do
  local old = tonumber(call('HGET', P .. 'c:' .. model, 'service'))
  call('HSET', P .. 'c:' .. model, 'service', floor((old and old * 0.9 + new * 0.1 or new) * 10 + 0.5) / 10)
end
return finish(reply)
