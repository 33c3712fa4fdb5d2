-- SPDX-License-Identifier: MIT
-- @use base write record rows
-- notify_settle: what became of a try.
--
-- ARGV  notify id, epoch, outcome (0 sent, 1 retry, 2 wait, 3 refused, 4 not wanted any more, 5 wait because
--       no mails may go out now, 6 back in line), retry ms, reason, give up ms
-- Reply {verdict, 1 if given up}: 1 done, 2 was sent already, 4 lost
-- The time after which a row is given up runs from its first failure: waiting costs it nothing.
local notify_id, outcome = ARGV[1], ARGV[3]
local row = P .. 'n:' .. notify_id
local known = call('HMGET', row, 'epoch', 'failing', 'dead')
if not known[1] then
  return {call('EXISTS', P .. 'sent:' .. notify_id) == 1 and outcome == '0' and 2 or 4, 0}
end
if known[3] then
  return {2, 1}
end
if known[1] ~= ARGV[2] then
  return {4, 0}
end

local function tell(letter)
  if target_of(notify_id) == 'm' then
    mail_note(sub(notify_id, 3, 14), letter)
  end
end

if outcome == '0' or outcome == '4' then
  row_delete(notify_id)
  -- Makes a repeated settle harmless, and a second intake of the same completion impossible.
  call('SET', P .. 'sent:' .. notify_id, '1', 'PX', 3600000)
  tell(outcome == '0' and 's' or 'x')
  return {1, 0}
end
local waiting = ({['2'] = 'h', ['5'] = 'q', ['6'] = 'w'})[outcome]
if waiting then
  row_wait(notify_id, now + ARGV[4])
  tell(waiting)
  return {1, 0}
end
call('HINCRBY', row, 'attempts', 1)
call('HSET', row, 'reason', ARGV[5])
if not known[2] then
  call('HSET', row, 'failing', format('%.0f', now))
end
if outcome == '3' or now - (known[2] or now) >= tonumber(ARGV[6]) then
  call('HSET', row, 'dead', format('%.0f', now))
  row_unqueue(notify_id)
  call('ZADD', P .. 'unsent', now, notify_id)
  tell('f')
  return {1, 1}
end
row_wait(notify_id, now + ARGV[4])
tell('w')
return {1, 0}
