-- SPDX-License-Identifier: MIT
-- @use base write
-- notify_intake: turn entries of the `out` stream into rows that are due now.
--
-- Reply how many entries were taken
-- An entry leaves the stream in the same script in which its row appears. The entry of a job that was
-- erased meanwhile, or whose row is there already, makes none.
local entries = call('XRANGE', P .. 'out', '-', '+', 'COUNT', 64)
for i = 1, #entries do
  local fields = {}
  for j = 1, #entries[i][2], 2 do
    fields[entries[i][2][j]] = entries[i][2][j + 1]
  end
  local notify_id = fields.id .. '.m'
  local row = P .. 'n:' .. notify_id
  if call('EXISTS', P .. 'j:' .. sub(fields.id, 3, 14)) == 1 and
    call('EXISTS', row, P .. 'sent:' .. notify_id) == 0 then
    call('HSET', row, 'id', fields.id, 'model', fields.model, 'state', fields.state, 'address',
      fields.address, 'blob', fields.blob, 'epoch', 0, 'attempts', 0, 'created', format('%.0f', now))
    call('ZADD', P .. 'due', now, notify_id)
  end
  call('XDEL', P .. 'out', entries[i][1])
end
return #entries
