-- SPDX-License-Identifier: MIT
-- @use base write
-- fsck_counts: are the counters what the records say?
--
-- ARGV  1 to mend, model ('': of all models together), activity, then pairs of field and value
-- Reply {activity, line…}; a line is F or M as in fsck_jobs, then `name what`
-- The caller counted the records page by page: its numbers are compared only while nothing has
-- happened since it asked for the activity; otherwise the reply holds another activity and no lines.
local mend, model, key = ARGV[1] == '1', ARGV[2], P .. 'c:' .. ARGV[2]
local reply = {''}

local function compare(field, expected)
  local is = tonumber(call('HGET', key, field)) or 0
  if is ~= expected then
    reply[#reply + 1] = format('%sc:%s %s is %d, the records say %d', mend and 'M' or 'F', model, field, is,
      expected)
    if mend then
      call('HSET', key, field, expected)
    end
  end
end

if model == '' then
  local sum, delayed, models = 0, 0, call('SMEMBERS', P .. 'models')
  for i = 1, #models do
    local values = call('HMGET', P .. 'c:' .. models[i], 'queued0', 'queued1', 'queued2', 'delayed')
    for j = 1, 3 do
      sum = sum + (tonumber(values[j]) or 0)
    end
    delayed = delayed + (tonumber(values[4]) or 0)
  end
  compare('queued', sum)
  compare('delayed', delayed)
  return reply
end
local moves = call('HMGET', key, 'submitted', 'claims', 'succeeded', 'failed', 'cancelled', 'lost')
for i = 1, #moves do
  moves[i] = moves[i] or '0'
end
reply[1] = table.concat(moves, ' ')
if reply[1] == ARGV[3] then
  for i = 4, #ARGV, 2 do
    compare(ARGV[i], tonumber(ARGV[i + 1]))
  end
end
return reply
