-- SPDX-License-Identifier: MIT
-- order: which of a worker's models a claim looks at first.
--
-- A model whose oldest job has waited too long (the oldest such first), then the highest priority of any of
-- them, then the worker's own order, in which it names the resident model first. A worker of one model
-- never gets here.
-- `ages`: model → `looked-at oldest`, so that the lanes are sampled once a second and not in every claim; ten
-- times a second while a model seems past due, as its oldest job may have been served since.
local PAST_DUE_MS, AGE_KEPT_MS, DUE_KEPT_MS = 30000, 1000, 100

local function past_due(models)
  local ages = call('HMGET', P .. 'ages', unpack(models))
  local found, since
  for i = 1, #models do
    local looked, oldest = string.match(ages[i] or '', '^(%d+) (%d+)$')
    local past = now - (looked or 0)
    oldest = tonumber(oldest)
    local limit = PAST_DUE_MS
    if oldest and now - oldest > DUE_KEPT_MS then
      limit = tonumber(call('HGET', P .. 'm:' .. models[i], 'past_due')) or limit
    end
    if not oldest or past > AGE_KEPT_MS or past < 0 or past > DUE_KEPT_MS and now - oldest > limit then
      oldest = oldest_of(models[i]) or now
      call('HSET', P .. 'ages', models[i], format('%d %d', now, oldest))
      limit = tonumber(call('HGET', P .. 'm:' .. models[i], 'past_due')) or limit
    end
    if now - oldest > limit and (not since or oldest < since) then
      found, since = models[i], oldest
    end
  end
  return found
end

local function ring_keys(models, except, first, last, step)
  local keys = {}
  for i = 1, #models do
    if models[i] ~= except then
      for priority = first, last, step do
        keys[#keys + 1] = P .. 'ring:' .. models[i] .. ':' .. priority
      end
    end
  end
  return keys
end

local function any_waits(keys)
  return #keys > 0 and call('EXISTS', unpack(keys)) > 0
end
