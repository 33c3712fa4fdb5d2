-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow rows settle index forget kin reap registry pace
-- tick: housekeeping, a bounded piece of each kind. From any number of callers.
--
-- ARGV  lease ms, retain ms
-- Reply {expired, promoted, forgotten, buried, 1 if there is more to do now, 1 if a gap was found}
check_protocol(call('GET', P .. 'protocol'))
local LIMIT = 64
local DEAD_MAX = 100000 -- the oldest dead letters beyond so many are forgotten before their time
local HEIRS_LOOK_MS = 600000
local lease_ms, retain_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local expired, buried, promoted, gap, grace = reap(LIMIT, lease_ms, retain_ms, 0)

local function forget()
  local ids = call('ZRANGEBYSCORE', P .. 'done', '-inf', now, 'LIMIT', 0, LIMIT)
  for i = 1, #ids do
    local r = load(ids[i])
    if r and call('EXISTS', P .. 'heirs:' .. r.id) == 1 then
      -- A job that has not ended works on its result: not before that.
      kept[#kept + 1] = format('%d', now + HEIRS_LOOK_MS)
      kept[#kept + 1] = r.id
    elseif r then
      erase(r)
    elseif r == false then
      quarantine(ids[i])
    end
    call('ZREM', P .. 'done', ids[i])
  end
  return #ids
end

local function forget_dead()
  local beyond = call('ZCARD', P .. 'dlq') - DEAD_MAX
  local ids = beyond > 0 and call('ZRANGE', P .. 'dlq', 0, min(beyond, LIMIT) - 1) or {}
  for i = 1, #ids do
    local r = load(ids[i])
    if r then
      erase(r)
    end
    call('ZREM', P .. 'dlq', ids[i])
  end
end

-- Not while leases have their extra term: workers could not speak to us either.
local function drop_silent_workers()
  local silent = grace and {} or
    call('ZRANGEBYSCORE', P .. 'workers', '-inf', now, 'LIMIT', 0, LIMIT)
  for i = 1, #silent do
    deregister(silent[i])
  end
end

-- A token may have gone to a worker that died before it claimed.
local function wake_waiting()
  local models = call('SMEMBERS', P .. 'models')
  for i = 1, #models do
    local ring = P .. 'ring:' .. models[i] .. ':'
    if call('EXISTS', ring .. '0', ring .. '1', ring .. '2') > 0 then
      wake(models[i])
    end
  end
end

-- Batches whose submitter died on the way: nobody was promised anything.
local function drop_open_batches()
  local open = call('ZRANGEBYSCORE', P .. 'open', '-inf', now, 'LIMIT', 0, LIMIT)
  for i = 1, #open do
    drop_batch(open[i])
  end
end

local forgotten = forget()
forget_dead()
call('ZREMRANGEBYSCORE', P .. 'rated', '-inf', now)
drop_open_batches()
local kin = settle_kin(KIN_LIMIT, retain_ms, erase)
drop_silent_workers()
wake_waiting()
note_pace()
-- What was given up is kept a week for the operator.
local old = call('ZRANGEBYSCORE', P .. 'unsent', '-inf', now - 604800000, 'LIMIT', 0, LIMIT)
for i = 1, #old do
  row_delete(old[i])
end
local more = expired >= LIMIT or promoted >= LIMIT or forgotten >= LIMIT or kin
return finish({expired, promoted, forgotten, buried, more and 1 or 0, gap and 1 or 0})
