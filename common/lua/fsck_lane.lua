-- SPDX-License-Identifier: MIT
-- @use base write record lane inspect
-- fsck_lane: ids in a lane whose records are gone. A page of one lane.
--
-- ARGV  1 to mend, set (`model:priority`), flow, first index, count
-- Reply {ids on this page, how many of them name no record, how many name a job that waits elsewhere}
-- Mended as a cancelled job is: a tombstone, skipped when it is popped.
local mend, set, flow, first = ARGV[1] == '1', ARGV[2], ARGV[3], tonumber(ARGV[4])
local lane, tomb = P .. 'r:' .. set .. ':' .. flow, P .. 'tomb:' .. set .. ':' .. flow
local model, priority = string.match(set, '^(.+):(%d)$')
local ids = call('LRANGE', lane, first, first + ARGV[5] - 1)
local head = (tonumber(call('HGET', P .. 'tail:' .. set, flow)) or FIRST_PLACE) - call('LLEN', lane) + 1
local gone, astray = 0, 0
for i = 1, #ids do
  local r = inspect(ids[i])
  if r == nil and not call('ZSCORE', tomb, ids[i]) then
    gone = gone + 1
    if mend then
      call('ZADD', tomb, head + first + i - 1, ids[i])
      count(model, 'tombs', 1)
      count(model, 'queued' .. priority, -1)
      count('', 'queued', -1)
    end
  elseif r and r.state == 'Q' and (r.model .. ':' .. r.priority ~= set or flow_of(r) ~= flow) then
    astray = astray + 1
  end
end
return finish({#ids, gone, astray})
