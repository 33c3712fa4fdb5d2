-- SPDX-License-Identifier: MIT
-- @use base record
-- look: the records of many jobs, without positions.
--
-- ARGV  public ids…
-- Reply of each {id, record}, or {} where there is no such job
local reply = {}
for i = 1, #ARGV do
  local id = sub(ARGV[i], 3, 14)
  local raw = call('GET', P .. 'j:' .. id)
  -- One that cannot be read is shown, so that somebody hears of it.
  local other = raw and #raw >= HEAD_SIZE and
    format('%010x%010x', struct.unpack('>I5I5', raw, 38)) ~= sub(ARGV[i], 15)
  reply[i] = raw and not other and {id, raw} or {}
end
return reply
