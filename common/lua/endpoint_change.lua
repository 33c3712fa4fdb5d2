-- SPDX-License-Identifier: MIT
-- @use base write
-- endpoint_change: rotate the secret of a webhook endpoint, disable it, enable it, delete it. KEYS[1] is
-- `{k}`.
--
-- ARGV  endpoint id, account ('' any), what; for `rotate` the new sealed secret and how long the old one
--       goes on, ms; for `disable` the reason and what `enabled` was when it was tried
-- Reply 1; 0: the account has no such endpoint; 2: it was enabled since it was tried, and stays so
-- Repeating a rotation with the same text changes nothing, so a lost reply costs no secret.
local key, what = P .. 'hook:' .. ARGV[1], ARGV[3]
local known = call('HMGET', key, 'account', 'secret', 'enabled')
if not known[1] or (ARGV[2] ~= '' and known[1] ~= ARGV[2]) then
  return 0
end
if what == 'rotate' and known[2] ~= ARGV[4] then
  call('HSET', key, 'secret', ARGV[4], 'old_secret', known[2], 'old_until', format('%.0f', now + ARGV[5]))
elseif what == 'disable' then
  if ARGV[5] ~= (known[3] or '0') then
    return 2
  end
  call('HSET', key, 'disabled', format('%.0f', now), 'reason', ARGV[4])
elseif what == 'enable' then
  call('HDEL', key, 'disabled', 'reason')
  call('HSET', key, 'enabled', format('%.0f', now))
elseif what == 'delete' then
  call('DEL', key)
  call('SREM', P .. 'hooks:' .. known[1], ARGV[1])
end
return 1
