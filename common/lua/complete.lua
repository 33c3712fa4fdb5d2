-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle kin
-- complete: a job succeeded. State, result, event, notification and the trash in one.
--
-- ARGV  worker, retain ms, then of each job: id, epoch, public id, extension, outcome: the result's bytes
--       where its content type is the usual one of the extension, else `content type \n bytes`
-- Reply verdicts: 1 settled, 2 was settled so already, 3 cancelled meanwhile, 4 lost
-- A completion with another epoch than the job's is refused, and what it uploaded is thrown away.
local retain_ms = tonumber(ARGV[2])
local reply, left, n = {}, {}, 0
local models = {} -- of each model that has jobs here: how many, when they are forgotten, and their inputs
local SHARD, RUNNING = sub(P, 4, 5), VERSION .. 'R'
local SEEN_LAST = '175' -- the head, and what may follow it of a model and a flow

local function sweep(r, public_id, epoch, extension)
  -- Only what this job may have written: never the winner's, never another job's.
  local mine = r and public_id_of(r) == public_id and epoch <= r.epoch and
    not (r.state == 'S' and r.epoch == epoch)
  if mine or (r == nil and string.match(public_id, '^%x+$') and string.match(extension, '^%w+$')) then
    local folder = 'results/' .. public_id .. '/' .. epoch
    throw_away(folder .. '/result.' .. extension, now)
    throw_away(folder .. '/crop.png', now)
    throw_away(folder .. '/heat-map.png', now)
  end
end

-- One job's time is enough as a sample of a call: what is completed together was mostly claimed together.
local function about(model, id)
  local keep, start = retention_of(model, retain_ms), string.match(call('HGET', P .. 'run', id) or '', ' (%d+)$')
  models[model] = {settled = 0, elapsed = start and max(0, now - start), expiry = format('%d', now + keep.result),
      due = format('%d', now + keep.input), event = SHARD .. '%s%010x%010x S1000 ' .. (string.gsub(model, '%%', '%%%%'))}
  return models[model]
end

-- What few jobs need the whole record for: earlier epochs, somebody to tell, an unusual content type.
local function settle_whole(r, public_id, head, flow, outcome)
  local raw = head .. sub(r.raw, PATCH_SIZE + 1, r.body_end) .. (tonumber(outcome) and '' or outcome)
  call('SET', P .. 'j:' .. r.id, raw)
  announce(public_id, raw, 'S', flow, r.blob_size, sub(raw, r.body_end - r.extra_size + 1, r.body_end))
  drop_heritage_of(r)
  throw_away_results(r, 1, r.epoch - 1, now + UPLOAD_WINDOW_MS)
end

-- The usual job, without the detour over a table and without its body: Redis' Lua hashes every byte of
-- every string that it is given. Nil where it is not running under this epoch.
local function settle(id, epoch, outcome)
  local key = P .. 'j:' .. id
  local seen = try('GETRANGE', key, '0', SEEN_LAST)
  if #seen < HEAD_SIZE then
    return nil
  end
  local first, flags, its_epoch, _, _, _, _, id1, id2, model_size, flow_size, _, _, blob_size, _, extra_size =
    struct.unpack(PEEK, seen)
  if first ~= RUNNING or its_epoch ~= epoch then
    return nil
  end
  local model = sub(seen, HEAD_SIZE + 1, HEAD_SIZE + model_size)
  local of_model, bytes = models[model] or about(model, id), tonumber(outcome)
  local event = format(of_model.event, id, id1, id2) -- begins with the public id
  local head = patch('S', flags - flags % 32, epoch, 1000, bytes and bytes + 1 or 0)
  -- What most jobs have is decided by lengths alone.
  local flow = flow_size == 17 and sub(seen, HEAD_SIZE + model_size + 1, HEAD_SIZE + model_size + 17)
  if epoch > 1 or blob_size > 0 or extra_size > 0 or not bytes or flow and listens(flow) then
    local r = load(id)
    if not r then
      return nil
    end
    settle_whole(r, sub(event, 1, 34), head, flow, outcome)
  else
    call('SETRANGE', key, '0', head)
  end
  -- Ends as settle_final() does: no suspect any more, its input thrown away.
  if flags % 2 == FLAG_INPUT then
    throw_away('inputs/' .. sub(event, 1, 34), of_model.due)
  end
  if flags % 32 >= FLAG_LIMITED then
    let_go(sub(seen, HEAD_SIZE + model_size + 1, HEAD_SIZE + model_size + flow_size), id)
  end
  n = n + 1
  kept[2 * n - 1], kept[2 * n] = of_model.expiry, id
  left[n], events[n] = id, event
  of_model.settled = of_model.settled + 1
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

local function tell_all_kin()
  local waited_for = call('SMISMEMBER', P .. 'parents', unpack(left))
  for i = 1, #left do
    if waited_for[i] == 1 then
      tell_kin(left[i], 'S')
    end
  end
  settle_own_kin(retain_ms)
end

for i = 3, #ARGV, 5 do
  local id, epoch = ARGV[i], tonumber(ARGV[i + 1])
  reply[#reply + 1] = settle(id, epoch, ARGV[i + 4]) and 1 or refuse(id, epoch, ARGV[i + 2], ARGV[i + 3])
end
if #left > 0 then
  call('ZREM', P .. 'lease', unpack(left))
  call('HDEL', P .. 'run', unpack(left))
end
for model, of_model in pairs(models) do
  count(model, 'succeeded', of_model.settled)
  count(model, 'running', -of_model.settled)
  local new = of_model.settled > 0 and of_model.elapsed
  if new then
    local old = tonumber(call('HGET', P .. 'c:' .. model, 'service'))
    call('HSET', P .. 'c:' .. model, 'service', floor((old and old * 0.9 + new * 0.1 or new) * 10 + 0.5) / 10)
  end
end
if #left > 0 and call('EXISTS', P .. 'parents') == 1 then
  tell_all_kin()
end
return finish(reply)
