-- SPDX-License-Identifier: MIT
-- @use base write record index
-- address_forget: what is left of an address in this shard once its jobs are erased.
--
-- ARGV  address hash, entry of `out` to go on from ('-' at first)
-- Reply {ids that are still in its list, entry of `out` to go on from or ''}: to be asked again until there
--       are none and ''. A job that was handed in meanwhile keeps its place in the list.
-- Jobs erased in another order than that in which they came leave their ids behind; and what ended before any
-- notifier looked is in the stream with its record.
local PIECE = 500
local name = 'byaddr:' .. ARGV[1]
local key, gone = P .. name, 0
local ids = call('LRANGE', key, 0, PIECE - 1)
while gone < #ids and call('EXISTS', P .. 'j:' .. ids[gone + 1]) == 0 do
  gone = gone + 1
end
if gone > 0 then
  call('LTRIM', key, gone, -1)
  if call('EXISTS', key) == 0 then
    call('HDEL', P .. 'bases', name)
  else
    call('HINCRBY', P .. 'bases', name, gone)
  end
end

local entries = call('XRANGE', P .. 'out', ARGV[2], '+', 'COUNT', PIECE)
for i = 1, #entries do
  for j = 1, #entries[i][2], 2 do
    local r = entries[i][2][j] == 'record' and parse('', entries[i][2][j + 1])
    if r and address_of(r) == ARGV[1] then
      call('XDEL', P .. 'out', entries[i][1])
    end
  end
end
local last = #entries == PIECE and '(' .. entries[PIECE][1] or ''
return {gone == PIECE and call('LLEN', key) or 0, last}
