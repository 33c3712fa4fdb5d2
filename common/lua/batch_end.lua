-- SPDX-License-Identifier: MIT
-- @use base write record lane flow rows settle index forget kin
-- batch_end: cancel or erase a piece of a sealed batch's jobs, each as cancel and erase do.
--
-- ARGV  public id of the batch, 1 to erase, 0 to cancel, offset, limit, retain ms
-- Reply how many were looked at: fewer than `limit` is the end; -1: no such batch
-- An erased batch goes with its last job. Repeating changes nothing.
local id, erasing = sub(ARGV[1], 3, 14), ARGV[2] == '1'
local offset, limit, retain_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local about = call('HMGET', P .. 'b:' .. id, 'id', 'sealed')
if about[1] ~= ARGV[1] or about[2] ~= '1' then
  return -1
end
local jobs = call('LRANGE', P .. 'bj:' .. id, offset, offset + limit - 1)
for i = 1, #jobs do
  local r = load(sub(jobs[i], 1, 12))
  if r and erasing then
    erase(r)
  elseif r and (r.state == 'Q' or r.state == 'D' or r.state == 'R') then
    pull_out(r)
    move(r, 'C')
    throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
    settle_final(r, retain_ms, '')
  end
end
settle_own_kin(retain_ms)
return finish(#jobs)
