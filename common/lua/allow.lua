-- SPDX-License-Identifier: MIT
-- allow: what a claim may start of each flow (flow.lua has the keys), and what it did start.
local allowed = {} -- flow → {left, started, hold, again, …}

-- What a flow may start now: nil for any number, else {left, hold: ids to count or nil, …}.
local function allowance(flow, text)
  if allowed[flow] or not text then
    return allowed[flow]
  end
  local running, per_minute = string.match(text, '^(%d+) (%d+)$')
  local a = {left = math.huge, started = 0}
  if tonumber(running) > 0 then
    a.hold = {}
    a.left = running - call('SCARD', P .. 'held:' .. flow)
    a.again = now + PARKED_LOOK_MS
  end
  if tonumber(per_minute) > 0 then
    a.interval = 60000 / per_minute
    a.tolerance = max(0, RATE_BURST_MS - a.interval)
    a.arrival = max(now, tonumber(call('ZSCORE', P .. 'rated', flow)) or 0)
    local may = floor((now + a.tolerance - a.arrival) / a.interval) + 1
    if may < a.left then
      a.left = may
      a.again = a.arrival + max(0, may) * a.interval - a.tolerance
    end
  end
  allowed[flow] = a
  return a
end

-- Writes down what was started; `hold` goes beside its job's FLAG_LIMITED.
local function settle_limits()
  for flow, a in pairs(allowed) do
    if a.interval and a.started > 0 then
      call('ZADD', P .. 'rated', format('%d', a.arrival + a.started * a.interval), flow)
    end
    if a.hold and #a.hold > 0 then
      call('SADD', P .. 'held:' .. flow, unpack(a.hold))
    end
  end
end
