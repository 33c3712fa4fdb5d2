-- SPDX-License-Identifier: MIT
-- @use base write record lane flow settle
-- fail: an attempt ended badly. Again after a delay, or for good.
--
-- ARGV  worker, retain ms, then of each job: id, epoch, 1 to retry, outcome (`code \n detail`)
-- Reply of each: {verdict, state letter}: 1 done, 2 was done so already, 3 cancelled, 4 lost
-- attempts++; retried until max attempts, then dead-lettered with its history. What would fail again
-- the same way fails at once, and is the owner's to see, not the operator's.
local worker, retain_ms = ARGV[1], tonumber(ARGV[2])
local reply = {}

local function retry(r, outcome)
  local delay = min(r.backoff_max * 1000, r.backoff * 10 * 2 ^ min(30, r.attempts - 1))
  -- A quarter either way, so that what failed together does not come back together. Redis' own
  -- random numbers are the same in every script; the clock's microseconds and the id are not.
  local noise = (time[2] + tonumber(sub(r.id, 1, 8), 16)) % 1000 / 1000
  delay = floor(delay * (0.75 + noise / 2))
  move(r, 'D')
  call('ZADD', P .. 'delay', now + delay, r.id)
  save_with_outcome(r, outcome)
end

local function fail(r, again, outcome)
  lease_drop(r)
  set_flag(r, FLAG_SUSPECT, false)
  set_flag(r, FLAG_ALONE, false)
  r.attempts = r.attempts + 1
  note_attempt(r, worker .. ' ' .. outcome)
  if again and r.attempts < r.max_attempts then
    retry(r, outcome)
  elseif again then
    bury(r, retain_ms, outcome)
  else
    move(r, 'F')
    throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
    settle_final(r, retain_ms, outcome)
  end
end

for i = 3, #ARGV, 4 do
  local r = load(ARGV[i])
  local verdict, state = 4, 'X'
  if r then
    state = r.state
  end
  if r and r.epoch == tonumber(ARGV[i + 1]) then
    if r.state == 'R' then
      fail(r, ARGV[i + 2] == '1', ARGV[i + 3])
      verdict, state = 1, r.state
    elseif r.state == 'D' or r.state == 'F' then
      verdict = 2
    elseif r.state == 'C' then
      verdict = 3
    end
  end
  reply[#reply + 1] = {verdict, state}
end
return finish(reply)
