-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle kin
-- cancel: the owner wants it no more. Final at once, whatever it was doing.
--
-- ARGV  public id, retain ms
-- Reply the state letter that it has now: C, or the final state that came first; nil: no such job
-- A worker that still runs it is pushed, finds its epoch void, and its upload goes to the trash.
local r, problem = load(sub(ARGV[1], 3, 14))
if r == false then
  return redis.error_reply(problem)
end
if not r or public_id_of(r) ~= ARGV[1] then
  return false
end
if r.state == 'Q' or r.state == 'D' or r.state == 'R' then
  pull_out(r)
  move(r, 'C')
  throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
  settle_final(r, tonumber(ARGV[2]), '')
  settle_own_kin(tonumber(ARGV[2]))
end
return finish(r.state)
