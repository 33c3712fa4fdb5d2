-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle retry kin
-- fail: an attempt ended badly. Again after a delay, or for good.
--
-- ARGV  worker, retain ms, then of each job: id, epoch, 1 to retry, outcome (`code \n detail`)
-- Reply of each: {verdict, state letter}: 1 done, 2 was done so already, 3 cancelled, 4 lost
-- attempts++; retried until max attempts, then dead-lettered with its history. What would fail again
-- the same way fails at once, and is the owner's to see, not the operator's.
local worker, retain_ms = ARGV[1], tonumber(ARGV[2])
local reply = {}

for i = 3, #ARGV, 4 do
  local r = load(ARGV[i])
  local verdict, state = 4, 'X'
  if r then
    state = r.state
  end
  if r and r.epoch == tonumber(ARGV[i + 1]) then
    if r.state == 'R' then
      fail(r, worker, ARGV[i + 2] == '1', ARGV[i + 3], retain_ms)
      verdict, state = 1, r.state
    elseif r.state == 'D' or r.state == 'F' then
      verdict = 2
    elseif r.state == 'C' then
      verdict = 3
    end
  end
  reply[#reply + 1] = {verdict, state}
end
settle_own_kin(retain_ms)
return finish(reply)
