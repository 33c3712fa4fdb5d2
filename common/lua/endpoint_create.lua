-- SPDX-License-Identifier: MIT
-- @use base
-- endpoint_create: a webhook endpoint of an account. KEYS[1] is `{k}`.
--
-- ARGV  endpoint id, account, most that an account may have; then field, value, … of its hash
-- Reply {1, created ms}, also when repeated; {0, 0}: the account has as many as it may have
local key, mine = P .. 'hook:' .. ARGV[1], P .. 'hooks:' .. ARGV[2]
local created = call('HGET', key, 'created')
if created then
  return {1, tonumber(created)}
end
if call('SCARD', mine) >= tonumber(ARGV[3]) then
  return {0, 0}
end
call('HSET', key, 'account', ARGV[2], 'created', format('%.0f', now), unpack(ARGV, 4))
call('SADD', mine, ARGV[1])
return {1, now}
