-- SPDX-License-Identifier: MIT
-- @use base record
-- list: a page of the jobs of an account or an address, the newest first.
--
-- ARGV  list (`byflow:<flow>`, `byaddr:<hash>`), cursor of the page before or -1, limit; and to see only
--       some: letters of states or '', model or '', submitted since (ms), until (ms; 0: now), text or ''
-- Reply {cursor of the next page or -1, {id, record}…}
-- A cursor is a place that stays while jobs come in and go, so nothing is seen twice or left out.
-- The text is looked for at the beginning of the public id, in the model's name and in the parameters
-- as they stand in the spec, upper and lower case alike.
local LOOKS_MAX = 1000 -- ids that one page looks at: a page may be short of jobs and yet not the last
local GAP_MAX = 64     -- forgotten jobs in a row that the search for a time steps over
local SLACK_MS = 60000 -- ids stand in the order of submission, as far as Redis' clock went forward
local CREATED_AT, STATE_AT = 20, 2 -- of the packed record, from 1
local find, lower, unpack_struct = string.find, string.lower, struct.unpack
local key, limit = P .. ARGV[1], tonumber(ARGV[3])
local states, model, since, till = ARGV[4] or '', ARGV[5] or '', tonumber(ARGV[6] or 0), tonumber(ARGV[7] or 0)
local text = lower(ARGV[8] or '')
local base = tonumber(call('HGET', P .. 'bases', ARGV[1])) or 0
local place = base + call('LLEN', key) - 1

local function created_of(raw)
  return raw and #raw >= HEAD_SIZE and unpack_struct('>I6', raw, CREATED_AT)
end

-- When the job at a place, or the next one behind it that is remembered, was submitted.
local function created_at(from, last)
  local ids = call('LRANGE', key, from - base, min(last, from + GAP_MAX) - base)
  for i = 1, #ids do
    local created = created_of(call('GET', P .. 'j:' .. ids[i]))
    if created then
      return created
    end
  end
end

-- The place to begin at: everything behind it was submitted after `till`.
local function last_until()
  local low, high = base, place
  while low < high do
    local middle = floor((low + high) / 2)
    local created = created_at(middle, high)
    if not created then
      break
    elseif created > till + SLACK_MS then
      high = middle
    else
      low = middle + 1
    end
  end
  return high
end

local function has_text(id, raw)
  local id1, id2, model_size, flow_size, extension_size, address_size, blob_size, spec_size =
    unpack_struct('>I5I5BBBBI2I2', raw, 38)
  if find(sub(P, 4, 5) .. id .. format('%010x%010x', id1, id2), text, 1, true) == 1 or
    find(sub(raw, HEAD_SIZE + 1, HEAD_SIZE + model_size), text, 1, true) then
    return true
  end
  local first = HEAD_SIZE + model_size + flow_size + extension_size + address_size + blob_size
  local spec = sub(raw, first + 1, first + spec_size)
  local _, behind = find(spec, '"params":{', 1, true)
  return behind and find(lower(sub(spec, behind + 1, -3)), text, 1, true)
end

-- What cannot be read is shown, so that somebody hears of it.
local function is_wanted(id, raw)
  local created = created_of(raw)
  if not created then
    return true
  end
  return created >= since and (till == 0 or created <= till) and
    (states == '' or find(states, sub(raw, STATE_AT, STATE_AT), 1, true)) and
    (model == '' or sub(raw, HEAD_SIZE + 1, HEAD_SIZE + string.byte(raw, 48)) == model) and
    (text == '' or has_text(id, raw))
end

if ARGV[2] ~= '-1' then
  place = min(place, tonumber(ARGV[2]))
elseif till > 0 then
  place = last_until()
end
local reply, looks = {-1}, 0
local step = max(limit, 50)
while place >= base and #reply <= limit and looks < LOOKS_MAX do
  local first = max(base, place - step + 1)
  local ids = call('LRANGE', key, first - base, place - base)
  for i = #ids, 1, -1 do
    if #reply > limit then
      break
    end
    local raw = call('GET', P .. 'j:' .. ids[i])
    local created = created_of(raw)
    if created and created < since - SLACK_MS then
      return reply
    end
    if raw and is_wanted(ids[i], raw) then
      reply[#reply + 1] = {ids[i], raw}
    end
    place, looks = place - 1, looks + 1
  end
end
reply[1] = place >= base and place or -1
return reply
