-- SPDX-License-Identifier: MIT
-- @use base
-- mail_state: how it stands with mails in general. KEYS[1] is `{k}`.
--
-- ARGV  fields of `mails`…
-- Reply {ms until mails go out again or 0, addresses that want none, reason, its time, value…}
local reply = {max(0, call('PTTL', P .. 'mailhold')), call('ZCARD', P .. 'unwanted')}
local known = call('HMGET', P .. 'mails', 'reason', 'reason_at', unpack(ARGV))
for i = 1, #ARGV + 2 do
  reply[#reply + 1] = known[i] or (i == 1 and '' or '0')
end
return reply
