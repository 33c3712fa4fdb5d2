-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle
-- replay: a dead letter gets another chance, with all its attempts.
--
-- ARGV  public id
-- Reply 1 queued again; 0 no such job; 2 not in the dead letter (also: replayed already)
local r, problem = load(sub(ARGV[1], 3, 14))
if r == false then
  return redis.error_reply(problem)
end
if not r or public_id_of(r) ~= ARGV[1] then
  return 0
end
if r.state ~= 'F' or not has(r, FLAG_DEAD) then
  return 2
end
call('ZREM', P .. 'dlq', r.id)
call('ZREM', P .. 'done', r.id)
count(r.model, 'dead', -1)
set_flag(r, FLAG_DEAD, false)
r.attempts, r.crashes, r.progress = 0, 0, 0
extra_set(r, 'x', nil)
local mail = extra_get(r, 'm')
if mail and sub(mail, 1, 1) ~= 'x' then
  extra_set(r, 'm', 'w' .. sub(mail, 2)) -- it is told once more how it ends
end
move(r, 'Q')
lane_push(r, false, false)
save_with_outcome(r, '')
wake(r.model)
return finish(1)
