-- SPDX-License-Identifier: MIT
-- retry: an attempt of a running job ended badly.
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

local function fail(r, worker, again, outcome, retain_ms)
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
