-- SPDX-License-Identifier: MIT
-- record: the packed job under `j:<id>`, its states, and what is noted for the end of the script.
--
-- Layout (big endian; common/queue_record.c reads the same):
--   c1 version '2'   c1 state letter   B flags       I3 epoch       I2 progress, per mille
--   I6 updated, ms since 1970          I5 place in its lane         I6 created, ms since 1970
--   B priority       B attempts        B max attempts               I2 losses     B crashes
--   I3 cost, ms      I3 charge = cost / weight       I5 I5 the last 80 bits of the public id
--   B B B B I2 I2 I2 lengths of: model, flow, extension, address, blob, spec, extra
--   I3 longest run, 0.1 s (0: any)     I2 first backoff, 10 ms      I2 greatest backoff, s
-- and behind these 64 bytes the seven texts, then the outcome: `content type \n bytes` or
-- `error code \n detail`, empty until there is one. `extra` has a line `key=value` for each thing that
-- few jobs have: d deadline (ms since 1970), b batch, w webhook, p parents, f whose result is its
-- input, i idempotency key, r rating, m what became of its mail (rows.lua) and in which language that is.
-- What every claim and completion changes comes first, so that they write 19 bytes and not the record.
-- Once the job has succeeded its place is that of the result's size in bytes + 1, and what stands in the
-- place of an outcome is void; 0: it has an outcome, as the content type is not its extension's usual one.
-- A record of 300 bytes in all still fits Redis' 384-byte block with a model and a flow of five.
local HEAD, HEAD_SIZE = '>c1c1BI3I2I6I5I6BBBI2BI3I3I5I5BBBBI2I2I2I3I2I2', 64
local VERSION = '2'
-- The first four come and go, and the next while it runs. 32: has a deadline; 128: waits for its parents.
local FLAG_INPUT, FLAG_SUSPECT, FLAG_ALONE, FLAG_DEAD = 1, 2, 4, 8
local FLAG_LIMITED, FLAG_DEADLINE, FLAG_WAITING = 16, 32, 128
local UPLOAD_WINDOW_MS = 900000 -- how long a grant may still be used after its lease is void
-- How long an input outlives its job. A power cut or a failover may undo what was last done: then the
-- job is there again and needs its input, though a client saw it end.
local UNDO_WINDOW_MS = 60000
local FAR = 4000000000000000 -- what waits for others is due behind this: at its own `run at`, once they are done
local EVENTS_KEPT = 20000
local HISTORY_KEPT = 16

-- Which state may follow which: the table of common/job.c.
local NEXT = {Q = 'RFC', R = 'QDSFC', D = 'QFC', S = '', F = 'Q', C = ''}
local FINAL_COUNTER = {S = 'succeeded', F = 'failed', C = 'cancelled'}

local counts, events, trash, outbox, kept = {}, {}, {}, {}, {}

local function has(r, flag)
  return floor(r.flags / flag) % 2 == 1
end

local function set_flag(r, flag, on)
  if has(r, flag) ~= on then
    r.flags = r.flags + (on and flag or -flag)
  end
end

-- A record read; false and an error where it contradicts itself.
local function parse(id, raw)
  local key = P .. 'j:' .. id
  if type(raw) ~= 'string' then
    return false, 'CORRUPT ' .. key .. ': a ' .. call('TYPE', key).ok .. ', expected a string'
  end
  if #raw < HEAD_SIZE then
    return false, 'CORRUPT ' .. key .. ': ' .. #raw .. ' bytes, expected at least ' .. HEAD_SIZE
  end
  local version, state, flags, epoch, progress, updated, place, created, priority, attempts,
    max_attempts, losses, crashes, cost, charge, id1, id2, model_size, flow_size, extension_size,
    address_size, blob_size, spec_size, extra_size, run_max, backoff, backoff_max =
    struct.unpack(HEAD, raw)
  local body_end = HEAD_SIZE + model_size + flow_size + extension_size + address_size + blob_size +
    spec_size + extra_size
  if version ~= VERSION or not NEXT[state] or priority > 2 or model_size == 0 or model_size > 48 or
    flow_size == 0 or flow_size > 64 or extension_size > 8 then
    return false, 'CORRUPT ' .. key .. ': the head, expected version 2, a state of QRDSFC, names that fit'
  end
  if #raw < body_end then
    return false, 'CORRUPT ' .. key .. ': ' .. #raw .. ' bytes, expected at least ' .. body_end
  end
  return {
    id = id, raw = raw, state = state, flags = flags, priority = priority, epoch = epoch,
    attempts = attempts, max_attempts = max_attempts, losses = losses, crashes = crashes,
    progress = progress, cost = cost, charge = charge, created = created, updated = updated,
    place = place, id1 = id1, id2 = id2, model_size = model_size, flow_size = flow_size,
    extension_size = extension_size, address_size = address_size, blob_size = blob_size,
    spec_size = spec_size, extra_size = extra_size, run_max = run_max, backoff = backoff,
    backoff_max = backoff_max, body_end = body_end,
    model = sub(raw, HEAD_SIZE + 1, HEAD_SIZE + model_size),
  }
end

-- The record; nil where there is none; false and an error where it contradicts itself.
local function load(id)
  local raw = try('GET', P .. 'j:' .. id)
  if raw then
    return parse(id, raw)
  end
end

local function head_of(r)
  return struct.pack(HEAD, VERSION, r.state, r.flags, r.epoch, r.progress, r.updated, r.place, r.created,
    r.priority, r.attempts, r.max_attempts, r.losses, r.crashes, r.cost, r.charge, r.id1, r.id2,
    r.model_size, r.flow_size, r.extension_size, r.address_size, r.blob_size, r.spec_size,
    r.extra_size, r.run_max, r.backoff, r.backoff_max)
end

-- Claim and complete see every job, so they do without the table above: they read what they need
-- with PEEK and write the first PATCH_SIZE bytes, up to the place. PEEK gives version and state as one,
-- flags, epoch, 8 bytes of no interest, place, 15 of no interest, charge, id1, id2 and the seven lengths; what is
-- skipped is read as one number each, as 23 times `x` takes longer. load() and move() are the rule; these two
-- the exception.
local PEEK, PATCH_SIZE = '>c2BI3I8I5I15I3I5I5BBBBI2I2I2', 19

local function patch(state, flags, epoch, progress, place)
  return struct.pack('>c1c1BI3I2I6I5', VERSION, state, flags, epoch, progress, now, place)
end

local function save(r)
  call('SETRANGE', P .. 'j:' .. r.id, 0, head_of(r))
end

-- Where the body has changed too.
local function save_whole(r)
  call('SET', P .. 'j:' .. r.id, head_of(r) .. sub(r.raw, HEAD_SIZE + 1))
end

local function save_with_outcome(r, outcome)
  call('SET', P .. 'j:' .. r.id, head_of(r) .. sub(r.raw, HEAD_SIZE + 1, r.body_end) .. outcome)
end

local function flow_of(r)
  local first = HEAD_SIZE + r.model_size
  return sub(r.raw, first + 1, first + r.flow_size)
end

-- An account's flow is its id, a visitor's another kind of name.
local function is_account(flow)
  return #flow == 17 and string.find(flow, '^a%x+$') ~= nil
end

local function extension_of(r)
  local first = HEAD_SIZE + r.model_size + r.flow_size
  return sub(r.raw, first + 1, first + r.extension_size)
end

local function address_of(r)
  local first = HEAD_SIZE + r.model_size + r.flow_size + r.extension_size
  return sub(r.raw, first + 1, first + r.address_size)
end

local function blob_of(r)
  local first = HEAD_SIZE + r.model_size + r.flow_size + r.extension_size + r.address_size
  return sub(r.raw, first + 1, first + r.blob_size)
end

-- The value under one key of `extra`, or nil.
local function extra_get(r, key)
  local text = '\n' .. sub(r.raw, r.body_end - r.extra_size + 1, r.body_end)
  return string.match(text, '\n' .. key .. '=([^\n]*)')
end

-- Sets (nil: removes) one key of `extra`. The caller saves with save_whole().
local function extra_set(r, key, value)
  local first, lines = r.body_end - r.extra_size, {}
  for line in string.gmatch(sub(r.raw, first + 1, r.body_end), '[^\n]+') do
    if sub(line, 1, #key + 1) ~= key .. '=' then
      lines[#lines + 1] = line .. '\n'
    end
  end
  lines[#lines + 1] = value and key .. '=' .. value .. '\n'
  local extra = table.concat(lines)
  r.raw = sub(r.raw, 1, first) .. extra .. sub(r.raw, r.body_end + 1)
  r.extra_size = #extra
  r.body_end = first + #extra
end

-- `{q:00}` holds the two hex digits of the shard.
local function public_id_of(r)
  return sub(P, 4, 5) .. r.id .. format('%010x%010x', r.id1, r.id2)
end

-- Notes an object key to be deleted at `due`; keys and dues end up in one ZADD.
local function throw_away(key, due)
  trash[#trash + 1] = due
  trash[#trash + 1] = key
end

-- The results of epochs first … last, which somebody may still be uploading, and what some models leave
-- beside, the picture as the network saw it and where it looked: whether this one did is not asked, as its
-- manifest may have changed.
local function throw_away_results(r, first, last, due)
  local public_id, extension = public_id_of(r), extension_of(r)
  for epoch = max(first, last - 31), last do
    local folder = 'results/' .. public_id .. '/' .. epoch
    throw_away(folder .. '/result.' .. extension, due)
    throw_away(folder .. '/crop.png', due)
    throw_away(folder .. '/heat-map.png', due)
  end
end

local function throw_away_input(r, due)
  if has(r, FLAG_INPUT) then
    throw_away('inputs/' .. public_id_of(r), due)
    set_flag(r, FLAG_INPUT, false)
  end
end

local function count(model, field, by)
  local of_model = counts[model]
  if not of_model then
    of_model = {}
    counts[model] = of_model
  end
  of_model[field] = (of_model[field] or 0) + by
end

-- A counter as it will stand behind this script: what `count` was told is written by `finish`.
local function counted(model, field)
  local of_model = counts[model]
  return (tonumber(call('HGET', P .. 'c:' .. model, field)) or 0) + (of_model and of_model[field] or 0)
end

-- Gauges and totals of a state, `by` +1 on entering and -1 on leaving.
local function count_state(r, by)
  if r.state == 'Q' then
    count(r.model, 'queued' .. r.priority, by)
    count('', 'queued', by)
  elseif r.state == 'R' then
    count(r.model, 'running', by)
  elseif r.state == 'D' then
    count(r.model, 'delayed', by)
    count('', 'delayed', by)
  elseif by > 0 then
    count(r.model, FINAL_COUNTER[r.state], 1)
  end
end

local function note_event(r, letter)
  events[#events + 1] = public_id_of(r) .. ' ' .. letter .. r.progress .. ' ' .. r.model
end

-- The one place where a state changes. The record is not saved yet.
local function move(r, to)
  if not string.find(NEXT[r.state], to, 1, true) then
    error('INTERNAL ' .. P .. 'j:' .. r.id .. ': ' .. r.state .. ' to ' .. to)
  end
  count_state(r, -1)
  r.state = to
  r.updated = now
  count_state(r, 1)
  note_event(r, to)
end

-- Ends a script: writes what was noted, one command of each kind, and hands back the reply. Counters come
-- last, as they are the only thing that fsck can make again.
local function finish(reply)
  for i = 1, #outbox do
    call('XADD', P .. 'out', '*', unpack(outbox[i]))
  end
  if #kept > 0 then
    call('ZADD', P .. 'done', unpack(kept))
  end
  if #trash > 0 then
    call('ZADD', P .. 'trash', unpack(trash))
  end
  -- One entry for the whole script: a line for each change. Readers see all of it or nothing.
  if #events > 0 then
    local id = call('XADD', P .. 'ev', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', table.concat(events, '\n'))
    call('SET', P .. 'evid', id)
  end
  for model, fields in pairs(counts) do
    for field, by in pairs(fields) do
      if by ~= 0 then
        call('HINCRBY', P .. 'c:' .. model, field, by)
      end
    end
  end
  return reply
end
