-- SPDX-License-Identifier: MIT
-- @use base record
-- grants: which of these leases does the worker hold?
--
-- ARGV  worker, then of each job: id, epoch
-- Reply of each {public id, model, extension, 1 if it has an input}, or {} where it is not held
local worker, ids, reply = ARGV[1], {}, {}
for i = 2, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
local runs = call('HMGET', P .. 'run', unpack(ids))
for i = 1, #ids do
  local r = load(ids[i])
  local held = r and r.state == 'R' and r.epoch == tonumber(ARGV[2 * i + 1]) and runs[i] and
    string.match(runs[i], '^(%S+)') == worker
  reply[i] = held and {public_id_of(r), r.model, extension_of(r), has(r, FLAG_INPUT) and 1 or 0} or {}
end
return reply
