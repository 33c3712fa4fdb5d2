-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle retry reap registry
-- heartbeat: renew all leases of a worker, carry progress there and cancellations back.
--
-- ARGV  worker, lease ms, retain ms, then of each job: id, epoch, progress per mille
-- Reply {1 if the worker shall drain, verdict…}: 1 ok, 3 cancelled, 4 lost
-- Crash: harmless, the next one does the same.
-- A job that runs for twice its longest run and a lease more has used up an attempt. That is for workers
-- that don't see to it themselves: they know when a run began, here only the claim is known.
local worker, lease_ms, retain_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local leases = {}
local reply = {call('EXISTS', P .. 'drain:' .. worker)}
local ids, runs = {}, {}
for i = 4, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
end
if #ids > 0 then
  runs = call('HMGET', P .. 'run', unpack(ids))
end

local function overran(r, run)
  local claimed_at = r.run_max > 0 and run and tonumber(string.match(run, ' (%d+)$'))
  return claimed_at and now - claimed_at > 200 * r.run_max + lease_ms
end

for i = 4, #ARGV, 3 do
  local id, epoch, progress = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local r = load(id)
  local verdict = 4
  if r and r.epoch == epoch and r.state == 'R' and overran(r, runs[(i - 1) / 3]) then
    fail(r, worker, true, 'timeout\nit ran for longer than its model allows', retain_ms)
  elseif r and r.epoch == epoch and r.state == 'R' then
    verdict = 1
    leases[#leases + 1] = now + lease_ms
    leases[#leases + 1] = id
    if r.progress ~= progress then
      r.progress = progress
      r.updated = now
      note_event(r, 'R')
      save(r)
    end
  elseif r and r.epoch == epoch and r.state == 'C' then
    verdict = 3
  end
  reply[#reply + 1] = verdict
end
if #leases > 0 then
  call('ZADD', P .. 'lease', unpack(leases))
end
-- After the renewal, so that a heartbeat never expires what it came to renew.
reap(16, lease_ms, retain_ms, lease_ms / 20)
local ttl, slots, models = about_worker(worker)
if ttl and call('ZADD', P .. 'workers', 'XX', 'CH', now + ttl, worker) == 0 and
  not call('ZSCORE', P .. 'workers', worker) then
  register(worker, ttl, slots, models)
end
return finish(reply)
