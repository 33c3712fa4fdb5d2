-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle inspect rows
-- fsck_jobs: is every record in the one place that its state names? A page of the records.
--
-- ARGV  1 to mend, retain ms, cursor ('0' at first), count
-- Reply {next cursor ('0': that was the last page), {id, line…}…}; a line's first letter says what it is:
--       S `state priority dead model` of the record, O key of an object that must exist,
--       F a finding, M a finding that was mended
-- Each record is looked at in one atomic step, so a queue in use gives no false findings.
local mend, retain_ms = ARGV[1] == '1', tonumber(ARGV[2])
local lines

local function found(what)
  lines[#lines + 1] = (mend and 'M' or 'F') .. what
end

-- What cannot be read is put aside under `bad:`, out of everybody's way, for a person to look at.
local function put_aside(id, what)
  found(what)
  if mend then
    call('RENAME', P .. 'j:' .. id, P .. 'bad:' .. id)
    for _, set in ipairs({'lease', 'delay', 'done', 'dlq', 'corrupt'}) do
      call('ZREM', P .. set, id)
    end
    call('HDEL', P .. 'run', id)
  end
end

local function in_lane(r)
  local set, flow = r.model .. ':' .. r.priority, flow_of(r)
  local lane = P .. 'r:' .. set .. ':' .. flow
  local tail = tonumber(call('HGET', P .. 'tail:' .. set, flow)) or r.place
  local index = r.place - (tail - call('LLEN', lane) + 1)
  if index >= 0 and call('LINDEX', lane, format('%d', index)) == r.id then
    return true
  end
  return call('LPOS', lane, r.id) and true or false
end

-- The places where a record may be, whether it is there, and how it gets there or away.
local PLACES = {
  {name = 'lease', states = 'R', is = function(r)
    return call('ZSCORE', P .. 'lease', r.id)
  end, put = function(r)
    call('ZADD', P .. 'lease', now, r.id) -- over at once: the job goes back to its lane
  end, take = function(r)
    call('ZREM', P .. 'lease', r.id)
  end},
  {name = 'run', states = 'R', is = function(r)
    return call('HEXISTS', P .. 'run', r.id) == 1
  end, put = function(r)
    call('HSET', P .. 'run', r.id, 'unknown ' .. format('%d', now))
  end, take = function(r)
    call('HDEL', P .. 'run', r.id)
  end},
  {name = 'delay', states = 'D', is = function(r)
    return call('ZSCORE', P .. 'delay', r.id)
  end, put = function(r)
    call('ZADD', P .. 'delay', has(r, FLAG_WAITING) and format('%d', FAR) or now, r.id)
  end, take = function(r)
    call('ZREM', P .. 'delay', r.id)
  end},
  {name = 'done', states = 'SFC', is = function(r)
    return call('ZSCORE', P .. 'done', r.id)
  end, put = function(r)
    call('ZADD', P .. 'done', now + retain_ms, r.id)
  end, take = function(r)
    call('ZREM', P .. 'done', r.id)
  end},
}

local function look_at_places(r)
  for i = 1, #PLACES do
    local place = PLACES[i]
    local should = string.find(place.states, r.state, 1, true) and true or false
    local is = place.is(r) and true or false
    if should and not is then
      found('state ' .. r.state .. ', but not in ' .. place.name)
      if mend then
        place.put(r)
      end
    elseif is and not should then
      found('state ' .. r.state .. ', but in ' .. place.name)
      if mend then
        place.take(r)
      end
    end
  end
  if r.state == 'Q' and not in_lane(r) then
    found('state Q, but not in its lane')
    if mend then
      lane_push(r, true, false)
      save(r)
      wake(r.model)
    end
  end
  local dead = r.state == 'F' and has(r, FLAG_DEAD)
  if dead ~= (call('ZSCORE', P .. 'dlq', r.id) and true or false) then
    found(dead and 'dead, but not in dlq' or 'not dead, but in dlq')
    if mend then
      if dead then
        call('ZADD', P .. 'dlq', r.updated, r.id)
      else
        call('ZREM', P .. 'dlq', r.id)
      end
    end
  end
end

-- Does what it waits for still have to come? Not asked while children are on their way (`kin`).
local function look_at_parents(r)
  local pending, first, ended = 0, nil, nil
  for public_id in string.gmatch(extra_get(r, 'p') or '', '%x+') do
    local parent = load(sub(public_id, 3, 14))
    if parent and string.find('QRD', parent.state, 1, true) then
      pending = pending + 1
    elseif not parent or parent.state ~= 'S' then
      ended = ended or sub(public_id, 3, 14) .. (parent and parent.state or 'X')
    end
    first = first or sub(public_id, 3, 14)
  end
  local batch = extra_get(r, 'b')
  batch = batch and sub(batch, 3, 14)
  local sealed = batch and call('HGET', P .. 'b:' .. batch, 'sealed')
  pending = pending + (sealed == '0' and 1 or 0)
  if pending == 0 or ended then
    found('waits for nobody')
    if mend then
      ended = ended or (first or batch) .. ((first or sealed == '1') and 'S' or 'Z')
      call('HSET', P .. 'need', r.id, 1)
      call('RPUSH', P .. 'kids:' .. sub(ended, 1, 12), r.id)
      call('RPUSH', P .. 'kin', ended)
    end
  elseif tonumber(call('HGET', P .. 'need', r.id)) ~= pending then
    found('waits for ' .. pending .. ', but need says otherwise')
    if mend then
      call('HSET', P .. 'need', r.id, pending)
    end
  end
end

-- Does the mail that its owner waits for have a row? Not asked while rows are still to be made (`out`).
local function look_at_mail(r)
  local letter = r.extra_size > 0 and r.blob_size > 0 and string.match(extra_get(r, 'm') or '', '^[whq] ')
  if not letter or (r.state ~= 'S' and r.state ~= 'F') or call('XLEN', P .. 'out') > 0 then
    return
  end
  local notify_id = format('%s-%x-m', public_id_of(r), r.updated)
  if call('EXISTS', P .. 'n:' .. notify_id, P .. 'sent:' .. notify_id) == 0 then
    found('its mail is in no line')
    if mend then
      rows_make(r, true, false, false)
    end
  end
end

local function look(id)
  lines = {id}
  local r, problem = inspect(id)
  if not r then
    put_aside(id, problem)
    return lines
  end
  look_at_places(r)
  look_at_mail(r)
  if r.state == 'D' and has(r, FLAG_WAITING) and call('EXISTS', P .. 'kin') == 0 then
    look_at_parents(r)
  end
  lines[#lines + 1] = 'S' .. r.state .. r.priority .. (has(r, FLAG_DEAD) and '1' or '0') .. r.model
  if has(r, FLAG_INPUT) then
    lines[#lines + 1] = 'Oinputs/' .. public_id_of(r)
  end
  if r.state == 'S' then
    lines[#lines + 1] = 'Oresults/' .. public_id_of(r) .. '/' .. r.epoch .. '/result.' .. extension_of(r)
  end
  return lines
end

local page = call('SCAN', ARGV[3], 'MATCH', P .. 'j:*', 'COUNT', ARGV[4])
local reply = {page[1]}
for i = 1, #page[2] do
  reply[i + 1] = look(sub(page[2][i], #P + 3))
end
return finish(reply)
