-- SPDX-License-Identifier: MIT
-- rows: notifications on their way, each a hash under `n:<notify id>`.
--
-- A notify id is `<public id>-<when it ended>-<target>`: one for each end of a job and each receiver,
-- the same however often the row is made. Target `m` is mail, `wh_…` an endpoint of the account, `u…`
-- (a keyed hash of flow and host) the URL that the job brought.
-- Mail waits in `due`. Webhooks wait per target: `hq:<target>` by due time, `hl:<target>` by the end of
-- their lease; `hooks` has each target by when it is to be looked at next. So a target with a long
-- queue, or one that is slow, takes a bounded share of the senders. `nj:<job>` lists a job's rows.

local function target_of(notify_id)
  return string.match(notify_id, '^%x+%-%x+%-(.+)$') or ''
end

-- When a target is to be looked at again: with its first row, or, where it has no room for another,
-- when the first lease is over. `busy` is false unless the caller knows that there is no room.
local function target_schedule(target, busy)
  local first = call('ZRANGE', P .. 'hq:' .. target, 0, 0, 'WITHSCORES')
  local lease = call('ZRANGE', P .. 'hl:' .. target, 0, 0, 'WITHSCORES')
  local at = not busy and first[2] or lease[2]
  if at then
    -- Not before now: behind those that have waited, however old its rows are.
    call('ZADD', P .. 'hooks', format('%.0f', max(now, tonumber(at))), target)
  else
    call('ZREM', P .. 'hooks', target)
  end
end

-- Puts a row in its line, to be tried at `at`.
local function row_wait(notify_id, at)
  local target = target_of(notify_id)
  if target == 'm' then
    call('ZADD', P .. 'due', at, notify_id)
  else
    call('ZREM', P .. 'hl:' .. target, notify_id)
    call('ZADD', P .. 'hq:' .. target, at, notify_id)
    target_schedule(target)
  end
end

-- Takes a row out of its line; the row stays.
local function row_unqueue(notify_id)
  local target = target_of(notify_id)
  if target == 'm' then
    call('ZREM', P .. 'due', notify_id)
  else
    call('ZREM', P .. 'hl:' .. target, notify_id)
    call('ZREM', P .. 'hq:' .. target, notify_id)
    target_schedule(target)
  end
end

-- What became of a job's mail, for its owner to see: one letter in its record, in the line
-- `m=<letter> <language>` of its extra lines.
local function mail_note(id, letter)
  local r = load(id)
  local extra = r and r.extra_size > 0 and sub(r.raw, r.body_end - r.extra_size + 1, r.body_end)
  local at = extra and string.find('\n' .. extra, '\nm=', 1, true)
  if at and sub(extra, at + 2, at + 2) ~= letter then
    call('SETRANGE', P .. 'j:' .. id, r.body_end - r.extra_size + at + 1, letter)
  end
end

local function row_delete(notify_id)
  row_unqueue(notify_id)
  call('ZREM', P .. 'unsent', notify_id)
  call('SREM', P .. 'nj:' .. sub(notify_id, 3, 14), notify_id)
  call('DEL', P .. 'n:' .. notify_id)
end

local function rows_erase(id)
  local rows = call('SMEMBERS', P .. 'nj:' .. id)
  for i = 1, #rows do
    row_delete(rows[i])
  end
end

-- Makes a row that is due now. One that is there, or was sent within the hour, is left as it is,
-- unless it is to be sent `again`. Returns how many were made, 0 or 1.
local function row_make(r, target, again, ...)
  local notify_id = format('%s-%x-%s', public_id_of(r), r.updated, target)
  local key = P .. 'n:' .. notify_id
  if again then
    row_delete(notify_id)
  elseif call('EXISTS', key, P .. 'sent:' .. notify_id) > 0 then
    return 0
  end
  call('HSET', key, 'id', public_id_of(r), 'model', r.model, 'state', r.state, 'epoch', 0,
    'attempts', 0, 'created', format('%.0f', now), ...)
  call('SADD', P .. 'nj:' .. r.id, notify_id)
  row_wait(notify_id, now)
  return 1
end

-- The rows of a job that ended: one for its mail, one for each webhook. `mail`, `hooks`: which kinds.
local function rows_make(r, mail, hooks, again)
  local made, flow = 0, flow_of(r)
  if mail and r.blob_size > 0 and r.state ~= 'C' then
    local noted = extra_get(r, 'm') or 'w en'
    if sub(noted, 1, 1) ~= 'w' or again then
      mail_note(r.id, 'w') -- it was sent once, and is to be sent again
    end
    made = made + row_make(r, 'm', again, 'address', address_of(r), 'blob', blob_of(r), 'lang',
      sub(noted, 3), 'trace', extra_get(r, 't') or '')
  end
  if not hooks then
    return made
  end
  local own = extra_get(r, 'w') or ''
  local named, host, sealed = string.match(own, '^wh_%x+$'), string.match(own, '^(u%x+) (%S+)$')
  if host then
    made = made + row_make(r, host, again, 'flow', flow, 'url', sealed, 'record', r.raw)
  end
  local endpoints = is_account(flow) and call('HGETALL', P .. 'hooks:' .. flow) or {}
  for i = 1, #endpoints, 2 do
    if endpoints[i] == named or string.find(endpoints[i + 1], r.state, 1, true) then
      made = made + row_make(r, endpoints[i], again, 'flow', flow, 'record', r.raw)
    end
  end
  return made
end
