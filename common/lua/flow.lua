-- SPDX-License-Identifier: MIT
-- flow: how many jobs of a flow may run at once, and how many may start in a minute.
--
-- `limits`: flow → `running per-minute`, 0 for any; under `*` what visitors' flows (v…) get that have none
-- of their own. Where nobody has a limit the key is not there, and nothing below is ever asked.
-- `held:<flow>`: set of the running ids that count. A set, not a number: to leave twice changes nothing,
-- and what a look at `run` does not find there is dropped. Its jobs have FLAG_LIMITED while they run.
-- `rated`: flow → theoretical arrival time of the next job (GCRA, ITU-T I.371).
-- A flow that may start nothing now is parked: out of the ring, its tag in `parked:<flow>` (`<model>:<priority>`
-- → tag), and in `park` with the time at which somebody has to look at it again. It comes back when one of
-- its leases ends, when its rate allows, or at that look.
local PARKED_LOOK_MS = 10000
local RATE_BURST_MS = 6000 -- a tenth of a minute's jobs may start at once

local function park(set, flow, tag, at)
  call('ZREM', P .. 'ring:' .. set, flow)
  call('HSET', P .. 'parked:' .. flow, set, format('%d', tag))
  call('ZADD', P .. 'park', 'LT', format('%d', at), flow)
end

local function unpark(flow)
  call('ZREM', P .. 'park', flow)
  local tags = call('HGETALL', P .. 'parked:' .. flow)
  for i = 1, #tags, 2 do
    if call('EXISTS', P .. 'r:' .. tags[i] .. ':' .. flow) == 1 then
      call('ZADD', P .. 'ring:' .. tags[i], 'NX', tags[i + 1], flow)
      wake(sub(tags[i], 1, -3))
    end
  end
  if #tags > 0 then
    call('DEL', P .. 'parked:' .. flow)
  end
end

-- A running job of a limited flow leaves.
local function let_go(flow, id)
  if call('SREM', P .. 'held:' .. flow, id) == 1 then
    unpark(flow)
  end
end

-- What a running job was counted for must not outlive it, whatever went wrong.
local function look_at_parked(limit)
  local flows = call('ZRANGEBYSCORE', P .. 'park', '-inf', now, 'LIMIT', 0, limit)
  for i = 1, #flows do
    local held = P .. 'held:' .. flows[i]
    local ids = call('SMEMBERS', held)
    local runs = #ids > 0 and call('HMGET', P .. 'run', unpack(ids)) or {}
    for j = 1, #ids do
      if not runs[j] then
        call('SREM', held, ids[j])
      end
    end
    unpark(flows[i])
  end
end
