-- SPDX-License-Identifier: MIT
-- @use base write mails
-- mail_done: what came of a mail, counted for the operator. KEYS[1] is `{k}`.
--
-- ARGV  outcome (a field of `mails`), when mail_take let it through (0: it did not), ms for which no mail is
--       to go out (0: none), reason ('' without one)
-- Reply 1
-- A lost reply and a repeat count it twice, which nobody's mail depends on.
local outcome, taken_at, hold_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
call('HINCRBY', P .. 'mails', outcome, 1)
if outcome ~= 'sent' and taken_at > 0 then
  window_count('m', MINUTE, 60, taken_at, -1)
  window_count('q', QUARTER, 96, taken_at, -1)
end
if ARGV[4] ~= '' then
  call('HSET', P .. 'mails', 'reason', ARGV[4], 'reason_at', format('%.0f', now))
end
if hold_ms > 0 then
  hold(hold_ms, 'server')
end
return 1
