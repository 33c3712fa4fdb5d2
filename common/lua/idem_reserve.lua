-- SPDX-License-Identifier: MIT
-- @use base idem
-- idem_reserve: somebody begins to prepare a job under an idempotency key.
--
-- ARGV  flow, hash of the key, hash of the body, public id that the job is to have, ms to prepare it
-- Reply {0} reserved, also when repeated; {8} somebody else prepares one; {9} the key was used with
--       another body; {10, public id} there is the job; {12} the key holds something else
local key = idem_key(ARGV[1], ARGV[2])
local status, other = idem_look(key, ARGV[4], ARGV[3])
if status then
  return {status, other}
end
if not call('GET', key) then
  call('SET', key, 'R' .. ARGV[4] .. ARGV[3], 'PX', ARGV[5])
end
return {0}
