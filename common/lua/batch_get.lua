-- SPDX-License-Identifier: MIT
-- @use base record
-- batch_get: the states of a piece of a batch's jobs, in the order in which they were handed in.
--
-- ARGV  public id of the batch, offset, limit
-- Reply {flow, jobs, created ms, sealed, text: of each 32 digits of the public id and a state letter, X where
--       it is forgotten}; nil: no such batch
local id = sub(ARGV[1], 3, 14)
local about = call('HMGET', P .. 'b:' .. id, 'id', 'flow', 'count', 'created', 'sealed')
if about[1] ~= ARGV[1] then
  return false
end
local offset, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local jobs = call('LRANGE', P .. 'bj:' .. id, offset, offset + limit - 1)
for i = 1, #jobs do
  local state = call('GETRANGE', P .. 'j:' .. sub(jobs[i], 1, 12), '1', '1')
  jobs[i] = jobs[i] .. (state ~= '' and state or 'X')
end
return {about[2], tonumber(about[3]), tonumber(about[4]), tonumber(about[5]), table.concat(jobs)}
