-- SPDX-License-Identifier: MIT
-- reap: what time does to jobs: leases end, delays are over. Called by tick, and now and then by
-- claims and heartbeats, so that a worker's death is noticed with no dispatcher alive.

local CRASHES_MAX = 3

-- Was that done longer ago than `pause_ms`? For who would not carry all of this along to find out.
local function reap_due(pause_ms)
  local last = tonumber(string.match(call('GET', P .. 'tick') or '', '^(%d+) ')) or 0
  return now - last >= pause_ms or now < last
end

-- A record that cannot be read must not block those behind it: its id is put aside for fsck.
local function quarantine(id)
  call('ZADD', P .. 'corrupt', now, id)
end

-- Whoever was alone with its worker is charged; its batch mates were not to blame. One worker is charged once,
-- however often it falls silent: `x` in the extra lines names those that were.
local function charge_crash(r, worker)
  local charged = extra_get(r, 'x')
  if not charged or not string.find(',' .. charged .. ',', ',' .. worker .. ',', 1, true) then
    r.crashes = r.crashes + 1
    extra_set(r, 'x', charged and charged .. ',' .. worker or worker)
  end
end

-- `how` is what is known of the worker's end; its lease ran out where nothing is.
local function requeue_lost(r, worker, how, retain_ms)
  r.losses = min(65535, r.losses + 1)
  count(r.model, 'lost', 1)
  note_attempt(r, 'lost ' .. worker .. (has(r, FLAG_ALONE) and ' alone' or '') .. (how and ': ' .. how or ''))
  if has(r, FLAG_ALONE) then
    charge_crash(r, worker)
    set_flag(r, FLAG_ALONE, false)
  end
  set_flag(r, FLAG_SUSPECT, true)
  if r.crashes >= CRASHES_MAX then
    bury(r, retain_ms, 'crashed\nthree workers vanished while they ran this job alone; of the last, ' .. worker ..
      ', ' .. (how and 'this is known: ' .. how or 'the lease ran out'))
    return true
  end
  move(r, 'Q')
  lane_push(r, true, true)
  save_whole(r)
  wake(r.model)
end

-- Leases that are over; `runs` has the worker and the time of each claim. How many jobs were buried.
local function lose(ids, runs, how, retain_ms)
  local lost, buried = {}, 0
  for i = 1, #ids do
    local r = load(ids[i])
    if r and r.state == 'R' then
      lost[#lost + 1] = r
      r.worker = string.match(runs[i] or '', '^%S+') or '?'
      lease_drop(r)
    else
      call('ZREM', P .. 'lease', ids[i])
      call('HDEL', P .. 'run', ids[i])
    end
    if r == false then
      quarantine(ids[i])
    end
  end
  -- Last first: each goes to the head of its lane, so that they end up in their old order.
  table.sort(lost, function(a, b)
    return a.place > b.place
  end)
  for i = 1, #lost do
    if requeue_lost(lost[i], lost[i].worker, how, retain_ms) then
      buried = buried + 1
    end
  end
  return buried
end

local function expire(limit, retain_ms)
  local ids = call('ZRANGEBYSCORE', P .. 'lease', '-inf', now, 'LIMIT', 0, limit)
  local runs = #ids > 0 and call('HMGET', P .. 'run', unpack(ids)) or {}
  return #ids, lose(ids, runs, nil, retain_ms)
end

-- Takes ids whose time has come out of a zset; how many, and the records that can be read.
local function take_due(name, limit)
  local ids, records = call('ZRANGEBYSCORE', P .. name, '-inf', now, 'LIMIT', 0, limit), {}
  for i = 1, #ids do
    local r = load(ids[i])
    if r == false then
      quarantine(ids[i])
    end
    records[#records + 1] = r or nil
  end
  if #ids > 0 then
    call('ZREM', P .. name, unpack(ids))
  end
  return #ids, records
end

local function promote(limit)
  local count_due, records = take_due('delay', limit)
  for i = #records, 1, -1 do
    local r = records[i]
    if r.state == 'D' then
      move(r, 'Q')
      -- A retry is older than what its flow handed in since; a job for later is not.
      lane_push(r, r.attempts > 0, false)
      save(r)
      wake(r.model)
    end
  end
  return count_due
end

-- An entry outlives its job, which costs those who end jobs nothing.
local function miss_deadlines(limit, retain_ms)
  local _, records = take_due('deadline', limit)
  for i = 1, #records do
    local r = records[i]
    if r.state == 'Q' or r.state == 'D' or r.state == 'R' then
      note_attempt(r, 'deadline')
      end_failed(r, retain_ms, 'deadline\nit had not ended by its deadline')
    end
  end
end

-- Expires and promotes up to `limit` each, unless that was done less than `pause_ms` ago. A gap since
-- the last time means that Redis, or everybody who calls this, was away: nobody could renew a lease
-- meanwhile, so all of them get one more term. Not by touching each, but by expiring none till then.
local function reap(limit, lease_ms, retain_ms, pause_ms)
  local last, grace = string.match(call('GET', P .. 'tick') or '', '^(%d+) (%d+)$')
  last, grace = tonumber(last) or 0, tonumber(grace) or 0
  if now - last < pause_ms and now >= last then
    return 0, 0, 0, false, now < grace
  end
  local gap = now - last > lease_ms / 2 or now < last
  if gap then
    grace = now + lease_ms
  end
  call('SET', P .. 'tick', format('%.0f %.0f', now, grace))
  local expired, buried = 0, 0
  if now >= grace then
    expired, buried = expire(limit, retain_ms)
  end
  look_at_parked(limit)
  miss_deadlines(limit, retain_ms)
  return expired, buried, promote(limit), gap, now < grace
end
