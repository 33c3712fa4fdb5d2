-- SPDX-License-Identifier: MIT
-- @use base registry
-- busy: how many workers have a job in hand.
--
-- ARGV  models…
-- Reply {workers alive, of them busy, and of those that serve each model}; busy -1 throughout where more run than one
-- call may look at
local RUNS_MAX = 20000
local reply = {call('ZCARD', P .. 'workers')}
local count = call('HLEN', P .. 'run') <= RUNS_MAX
local seen, busy, serving = {}, 0, {}
local runs = count and call('HVALS', P .. 'run') or {}
for i = 1, #runs do
  local worker = string.match(runs[i], '^(%S+) ')
  if worker and not seen[worker] then
    seen[worker] = true
    local _, _, models = about_worker(worker)
    busy = busy + (models and 1 or 0)
    for model in string.gmatch(models or '', '[^,+]+') do
      serving[model] = (serving[model] or 0) + 1
    end
  end
end
reply[2] = count and busy or -1
for i = 1, #ARGV do
  reply[2 + i] = count and (serving[ARGV[i]] or 0) or -1
end
return reply
