-- SPDX-License-Identifier: MIT
-- @use base record
-- grants: which of these leases does the worker hold?
--
-- ARGV  worker, then of each job: id, epoch
-- Reply of each {public id, model, extension, key of its input or empty}, or {} where it is not held
local function input_key_of(r)
  if has(r, FLAG_INPUT) then
    return 'inputs/' .. public_id_of(r)
  end
  local from = r.extra_size > 0 and extra_get(r, 'f')
  return from and 'results/' .. from or ''
end

local worker, ids, reply = ARGV[1], {}, {}
for i = 2, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
local runs = call('HMGET', P .. 'run', unpack(ids))
for i = 1, #ids do
  local r = load(ids[i])
  local held = r and r.state == 'R' and r.epoch == tonumber(ARGV[2 * i + 1]) and runs[i] and
    string.match(runs[i], '^(%S+)') == worker
  reply[i] = held and {public_id_of(r), r.model, extension_of(r), input_key_of(r)} or {}
end
return reply
