-- SPDX-License-Identifier: MIT
-- @use base account
-- key_create: a new API key, of an account that is new or known. KEYS[1] is `{k}`.
--
-- ARGV  SHA-256 of the key in hex, key id, account, 1 where the account must be known, origins
--       separated by spaces, the account's limits as of account_set; then field, value, … of the
--       key's hash
-- Reply {1, created ms, the account's limits…}, also when repeated; {0}: there is no such account
local key = P .. 'key:' .. ARGV[1]
local created = call('HGET', key, 'created')
if created then
  return {1, created, unpack(call('HMGET', P .. 'account:' .. ARGV[3], unpack(ACCOUNT_FIELDS)))}
end
if ARGV[4] == '1' and call('EXISTS', P .. 'account:' .. ARGV[3]) == 0 then
  return {0}
end
call('HSET', key, 'id', ARGV[2], 'account', ARGV[3], 'origins', ARGV[5], 'created', format('%.0f', now),
  unpack(ARGV, 8))
call('HSET', P .. 'keys', ARGV[2], ARGV[1])
account_set(ARGV[3], ARGV[6], ARGV[7])
for origin in string.gmatch(ARGV[5], '%S+') do
  call('HINCRBY', P .. 'origins', origin, 1)
end
return {1, now, unpack(call('HMGET', P .. 'account:' .. ARGV[3], unpack(ACCOUNT_FIELDS)))}
