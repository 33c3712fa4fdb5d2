-- SPDX-License-Identifier: MIT
-- @use base write record rows replay_rows
-- notify_replay_range: the same for all jobs that ended in a span of time, a page at a time.
--
-- ARGV  kind, flow, 1 only what was given up (as in notify_replay), since ms, until ms, cursor ('0' at
--       first), count
-- Reply {next cursor ('0': that was the last page), jobs that had any, rows that are due now}
-- A page may come twice (ZSCAN); its rows are then due once all the same unless they were sent between.
local since, till = tonumber(ARGV[4]), tonumber(ARGV[5])
local page = call('ZSCAN', P .. (unsent_only and 'unsent' or 'done'), ARGV[6], 'COUNT', ARGV[7])
local jobs, rows = 0, 0
for i = 1, #page[2], 2 do
  local made = 0
  if unsent_only then
    local ended = tonumber(string.match(page[2][i], '^%x+%-(%x+)%-') or '', 16)
    if ended and ended >= since and ended < till then
      made = replay_row(page[2][i])
    end
  else
    local r = load(page[2][i])
    if r and r.updated >= since and r.updated < till then
      made = replay_job(r)
    end
  end
  rows = rows + made
  jobs = jobs + min(made, 1)
end
return {page[1], jobs, rows}
