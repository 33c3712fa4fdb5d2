-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow settle reap registry
-- mourn: a worker is known to have died, and of what. Its jobs need not wait for their leases.
--
-- ARGV  worker, retain ms, what is known: `signal 11 (Segmentation fault)`
-- Reply {jobs that it had, of those buried}
-- Exactly as if all its leases had run out now. Where very many run, only its last claim is looked at.
local RUNS_MAX = 10000
local worker, retain_ms, how = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local ids, values = {}, {}

local function note(id, run)
  if run and string.match(run, '^%S+') == worker then
    ids[#ids + 1] = id
    values[#values + 1] = run
  end
end

if call('HLEN', P .. 'run') <= RUNS_MAX then
  local runs = call('HGETALL', P .. 'run')
  for i = 1, #runs, 2 do
    note(runs[i], runs[i + 1])
  end
else
  for id in string.gmatch(call('GET', P .. 'nonce:' .. worker) or '', ' (%x+):%d+') do
    note(id, call('HGET', P .. 'run', id))
  end
end
local buried = lose(ids, values, how, retain_ms)
deregister(worker)
call('DEL', P .. 'w:' .. worker, P .. 'nonce:' .. worker, P .. 'push:' .. worker)
return finish({#ids, buried})
