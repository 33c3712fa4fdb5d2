-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle kin idem
-- batch_seal: all its jobs are there: from here on they are claimed. Or it is dropped, and never was.
--
-- ARGV  public id of the batch, 1 to seal it, 0 to drop it, retain ms; to seal: its flow, hash of its
--       idempotency key or '', hash of the body
-- Reply {1} done; {2} was done so already; {4} no such batch (any more), or it has not got all its jobs;
--       {8 …} as in idem.lua, and not sealed
local id = sub(ARGV[1], 3, 14)
local about = call('HMGET', P .. 'b:' .. id, 'id', 'sealed', 'count')
if about[1] ~= ARGV[1] then
  return {4}
elseif about[2] ~= '0' then
  return {about[2] == (ARGV[2] == '1' and '1' or '2') and 2 or 4}
elseif ARGV[2] ~= '1' then
  drop_batch(id)
  return {1}
elseif call('LLEN', P .. 'bj:' .. id) ~= tonumber(about[3]) then
  return {4}
end
local key = ARGV[5] ~= '' and idem_key(ARGV[4], ARGV[5])
local status, other
if key then
  status, other = idem_look(key, ARGV[1], ARGV[6])
end
if status then
  return {status, other}
elseif key then
  idem_settle(key, ARGV[1], ARGV[6], true)
end
call('HSET', P .. 'b:' .. id, 'sealed', '1')
call('ZREM', P .. 'open', id)
call('RPUSH', P .. 'kin', id .. 'S')
settle_kin(KIN_LIMIT, tonumber(ARGV[3]))
return finish({1})
