-- SPDX-License-Identifier: MIT
-- @use base account
-- account_set: other limits for an account. KEYS[1] is `{k}`.
--
-- ARGV  account; jobs that may run at once, jobs that may wait: '' leaves what was
-- Reply 1, or 0: there is no such account
if call('EXISTS', P .. 'account:' .. ARGV[1]) == 0 then
  return 0
end
account_set(ARGV[1], ARGV[2], ARGV[3])
return 1
