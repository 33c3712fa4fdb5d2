-- SPDX-License-Identifier: MIT
-- registry: which workers are alive, for the ETA and for operators.
--
-- `workers`: worker → when it counts as gone. `w:<worker>`: `ttl slots device|model,+model…`,
-- with a + before those that it has loaded.
-- `slots:<model>`: worker → slots; its sum is kept in the model's counters.
local function recount(model)
  local slots, workers = 0, 0
  local values = call('HVALS', P .. 'slots:' .. model)
  for i = 1, #values do
    slots = slots + values[i]
    workers = workers + 1
  end
  call('HSET', P .. 'c:' .. model, 'slots', slots, 'workers', workers)
end

local function about_worker(worker)
  local text = call('GET', P .. 'w:' .. worker)
  if not text then
    return nil
  end
  local ttl, slots, device, models = string.match(text, '^(%d+) (%d+) ([^|]*)|(.*)$')
  return tonumber(ttl), tonumber(slots), models or '', device
end

local function register(worker, ttl, slots, models)
  call('ZADD', P .. 'workers', now + ttl, worker)
  for model in string.gmatch(models, '[^,+]+') do
    call('HSET', P .. 'slots:' .. model, worker, slots)
    recount(model)
  end
end

local function deregister(worker)
  local _, _, models = about_worker(worker)
  call('ZREM', P .. 'workers', worker)
  for model in string.gmatch(models or '', '[^,+]+') do
    call('HDEL', P .. 'slots:' .. model, worker)
    recount(model)
  end
end
