-- SPDX-License-Identifier: MIT
-- @use base write record rows
-- notify_intake: turn entries of the `out` stream into rows that are due now.
--
-- Reply how many entries were taken
-- An entry leaves the stream in the same script in which its rows appear. The entry of a job that was
-- erased meanwhile, or whose rows are there already, makes none.
check_protocol(call('GET', P .. 'protocol'))
local entries = call('XRANGE', P .. 'out', '-', '+', 'COUNT', 64)
for i = 1, #entries do
  local fields = {}
  for j = 1, #entries[i][2], 2 do
    fields[entries[i][2][j]] = entries[i][2][j + 1]
  end
  local id = sub(fields.id, 3, 14)
  local r = parse(id, fields.record)
  if r and call('EXISTS', P .. 'j:' .. id) == 1 then
    rows_make(r, true, true, false)
  end
  call('XDEL', P .. 'out', entries[i][1])
end
return #entries
