-- SPDX-License-Identifier: MIT
-- @use base write
-- key_revoke: from now on the key is none. KEYS[1] is `{k}`.
--
-- ARGV  key id, how long it is still listed in ms
-- Reply 1 revoked, 2 was revoked before, 0 there is no such key
local digest = call('HGET', P .. 'keys', ARGV[1])
local key = digest and P .. 'key:' .. digest
local found = digest and call('HMGET', key, 'created', 'revoked', 'origins')
if not digest or not found[1] then
  return 0
end
if found[2] then
  return 2
end
call('HSET', key, 'revoked', format('%.0f', now))
call('PEXPIRE', key, ARGV[2])
for origin in string.gmatch(found[3] or '', '%S+') do
  if call('HINCRBY', P .. 'origins', origin, -1) <= 0 then
    call('HDEL', P .. 'origins', origin)
  end
end
return 1
