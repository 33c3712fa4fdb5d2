-- SPDX-License-Identifier: MIT
-- pace: how many jobs of each model had succeeded when, so that a rate can be told.
--
-- `pace`: list of `ms model total model total …`, the oldest first, one every five seconds for a bit more than a
-- minute. Whoever ticks looks; completions pay nothing for it. Made of the counters, so it may be deleted at any
-- time, and what is no such list is begun anew.
local PACE_MS, PACE_KEPT, PACE_WINDOW_MS = 5000, 14, 60000

local function finished_of(model)
  return floor(tonumber(try('HGET', P .. 'c:' .. model, 'succeeded') or 0) or 0)
end

local function note_pace()
  local last = try('LINDEX', P .. 'pace', '-1')
  local at = type(last) == 'string' and tonumber(string.match(last, '^%d+'))
  if at and at <= now and now - at < PACE_MS then
    return
  elseif last and (not at or at > now) then
    call('DEL', P .. 'pace') -- not ours, or Redis' clock was set back
  end
  local entry, models = {format('%.0f', now)}, call('SMEMBERS', P .. 'models')
  for i = 1, #models do
    entry[#entry + 1] = models[i] .. ' ' .. finished_of(models[i])
  end
  call('RPUSH', P .. 'pace', table.concat(entry, ' '))
  call('LTRIM', P .. 'pace', -PACE_KEPT, -1)
end

-- The newest look that is a minute old, or else the oldest: how many milliseconds ago, and model → total.
local function look_back()
  local entries = try('LRANGE', P .. 'pace', 0, -1)
  local found, age
  for i = 1, entries.err and 0 or #entries do
    local at = tonumber(string.match(entries[i], '^%d+'))
    if at and at <= now and (not found or now - at >= PACE_WINDOW_MS) then
      found, age = entries[i], now - at
    end
  end
  local totals = {}
  for model, total in string.gmatch(found or '', ' (%S+) (%d+)') do
    totals[model] = tonumber(total)
  end
  return age, totals
end
