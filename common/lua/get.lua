-- SPDX-License-Identifier: MIT
-- @use base record lane position
-- get: one job as it is now.
--
-- ARGV  public id
-- Reply {record, position, eta ms, due ms of a delayed job or 0, id of the last event, id, shard}; nil: no such
--       job
local r, problem = load(sub(ARGV[1], 3, 14))
if r == false then
  return redis.error_reply(problem)
end
if not r or public_id_of(r) ~= ARGV[1] then
  return false
end
local position, eta = -1, -1
if r.state == 'Q' then
  position, eta = position_of(r, flow_of(r), 256)
end
local due = r.state == 'D' and call('ZSCORE', P .. 'delay', r.id) or '0'
return {r.raw, position, eta, due, call('GET', P .. 'evid') or '0-0', r.id, tonumber(sub(P, 4, 5), 16)}
