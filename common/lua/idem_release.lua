-- SPDX-License-Identifier: MIT
-- @use base write idem
-- idem_release: the job will not be; whoever asks again may prepare it. Harmless once it is there.
--
-- ARGV  flow, hash of the key, hash of the body, public id
-- Reply 1 released, 0 it was not reserved for this id
local key = idem_key(ARGV[1], ARGV[2])
if redis.pcall('GET', key) == 'R' .. ARGV[4] .. ARGV[3] then
  return call('DEL', key)
end
return 0
