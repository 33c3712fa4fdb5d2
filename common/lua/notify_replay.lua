-- SPDX-License-Identifier: MIT
-- @use base write record rows replay_rows
-- notify_replay: send the notifications of these jobs again, under the ids that they had.
--
-- ARGV  kind (`mail`, `webhook`, '' both), flow ('' any), 1 only what was given up, then public ids…
-- Reply {jobs that had any, rows that are due now}
-- Repeating it makes no second row: one that waits is only due at once.
local jobs, rows = 0, 0
for i = 4, #ARGV do
  local r = load(sub(ARGV[i], 3, 14))
  if r and public_id_of(r) == ARGV[i] then
    local made = replay_job(r)
    rows = rows + made
    jobs = jobs + min(made, 1)
  end
end
return {jobs, rows}
