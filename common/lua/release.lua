-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle
-- release: a worker gives jobs back, to the head of their lanes. attempts stay as they are.
--
-- ARGV  worker, 1 if preempted (then losses++), then of each job: id, epoch
-- Reply verdicts: 1 released, 2 was so already, 3 cancelled, 4 lost
local preempted = ARGV[2] == '1'
local reply = {}
-- Last first: each goes to the head, so that they end up in the order in which they were claimed.
for i = #ARGV - 1, 3, -2 do
  local r = load(ARGV[i])
  local verdict = 4
  if r and r.epoch == tonumber(ARGV[i + 1]) then
    if r.state == 'R' then
      lease_drop(r)
      set_flag(r, FLAG_ALONE, false)
      if preempted then
        r.losses = min(65535, r.losses + 1)
        note_attempt(r, ARGV[1] .. ' released')
      end
      throw_away_results(r, r.epoch, r.epoch, now + UPLOAD_WINDOW_MS)
      r.progress = 0
      move(r, 'Q')
      lane_push(r, true, true)
      save(r)
      wake(r.model)
      verdict = 1
    elseif r.state == 'Q' then
      verdict = 2
    elseif r.state == 'C' then
      verdict = 3
    end
  end
  reply[(i - 1) / 2] = verdict
end
return finish(reply)
