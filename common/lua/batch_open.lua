-- SPDX-License-Identifier: MIT
-- @use base record lane flow settle kin admit
-- batch_open: room for a batch, whose jobs come in chunks (adopt.lua) and are nobody's until it is sealed.
--
-- ARGV  public id of the batch, flow, how many jobs, max queued of the shard, max queued of a flow, the model of
--       one of them
-- Reply {status, ms until there should be room}: 0 open; 1 was open already; 2 the shard is full; 3 it is larger
--       than a flow may have waiting; 4 the id is taken
-- `b:<batch>` is a hash: id, flow, count, created, left (jobs that are remembered), sealed (0 open, 1, 2
-- dropped); `bj:<batch>` lists its jobs' public ids without the shard; `open` has it until it is sealed.
local id, flow, wanted = sub(ARGV[1], 3, 14), ARGV[2], tonumber(ARGV[3])
local key = P .. 'b:' .. id
local there = call('HMGET', key, 'id', 'sealed')
if there[1] then
  return {there[1] == ARGV[1] and there[2] == '0' and 1 or 4, 0}
elseif wanted > tonumber(ARGV[5]) then
  return {3, 0}
elseif wanted > room_for_jobs(tonumber(ARGV[4])) then
  return {2, retry_after('*', guess_of(ARGV[6]))}
end
call('HSET', key, 'id', ARGV[1], 'flow', flow, 'count', ARGV[3], 'created', format('%d', now), 'left', '0',
  'sealed', '0')
call('ZADD', P .. 'open', format('%d', now + OPEN_MS), id)
return {0, 0}
