-- SPDX-License-Identifier: MIT
-- @use base write record lane inspect
-- fsck_places: does every id that is kept somewhere name a record that belongs there? A page of one
-- place.
--
-- ARGV  1 to mend, place (lease, run, delay, done, dlq, ring), cursor ('0' at first), count
-- Reply {next cursor, line…}; a line is F or M as in fsck_jobs, then `name what`; of a ring also
--       L `model:priority flow` of each lane, for fsck_lane
local mend, place, cursor, size = ARGV[1] == '1', ARGV[2], ARGV[3], ARGV[4]
local STATES = {lease = 'R', run = 'R', delay = 'D', done = 'SFC', dlq = 'F'}
local reply = {'0'}

local function found(name, what)
  reply[#reply + 1] = (mend and 'M' or 'F') .. name .. ' ' .. what
end

local function look_at_id(key, id)
  local r = inspect(id)
  if r and string.find(STATES[place], r.state, 1, true) then
    return
  end
  found(place .. ':' .. id, r and ('the record is in state ' .. r.state) or 'there is no record')
  if mend then
    call(place == 'run' and 'HDEL' or 'ZREM', key, id)
  end
end

if STATES[place] then
  local key = P .. place
  local page = call(place == 'run' and 'HSCAN' or 'ZSCAN', key, cursor, 'COUNT', size)
  reply[1] = page[1]
  for i = 1, #page[2], 2 do
    look_at_id(key, page[2][i])
  end
  return reply
end

-- Lanes: each has a last place, and its flow a place in the ring.
local page = call('SCAN', cursor, 'MATCH', P .. 'r:*', 'COUNT', size)
reply[1] = page[1]
for i = 1, #page[2] do
  local name = sub(page[2][i], #P + 3)
  local set, flow = string.match(name, '^(.+:[012]):([%w_-]+)$')
  if not set or call('TYPE', page[2][i]).ok ~= 'list' then
    found('r:' .. name, 'no lane, expected a list named model:priority:flow')
    if mend then
      call('RENAME', page[2][i], P .. 'bad:' .. name)
    end
  else
    reply[#reply + 1] = 'L' .. set .. ' ' .. flow
    if not call('HGET', P .. 'tail:' .. set, flow) then
      found('r:' .. name, 'has no last place in tail:' .. set)
      if mend then
        call('HSET', P .. 'tail:' .. set, flow, FIRST_PLACE + call('LLEN', page[2][i]) - 1)
      end
    end
    local parked = call('ZSCORE', P .. 'park', flow) and
      call('HEXISTS', P .. 'parked:' .. flow, set) == 1
    if not parked and not call('ZSCORE', P .. 'ring:' .. set, flow) then
      found('r:' .. name, 'is not in ring:' .. set)
      if mend then
        call('ZADD', P .. 'ring:' .. set, tonumber(call('GET', P .. 'clock:' .. set)) or 0, flow)
        wake((string.match(set, '^(.+):')))
      end
    end
  end
end
return reply
