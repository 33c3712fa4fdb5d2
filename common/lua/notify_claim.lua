-- SPDX-License-Identifier: MIT
-- @use base write
-- notify_claim: lease rows that are due to a notifier.
--
-- ARGV  max, lease ms
-- Reply {ms until the next row is due or -1, {notify id, epoch, attempts, created ms, state letter,
--       public id, model, address hash, blob, language, trace}…}
-- Crash after it: the row is due again when the lease is over. The epoch fences a late settle.
check_protocol(call('GET', P .. 'protocol'))
local ids = call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, ARGV[1])
local reply = {-1}
for i = 1, #ids do
  local row = P .. 'n:' .. ids[i]
  if call('EXISTS', row) == 0 then
    call('ZREM', P .. 'due', ids[i])
  else
    call('HINCRBY', row, 'epoch', 1)
    call('ZADD', P .. 'due', now + ARGV[2], ids[i])
    local values = call('HMGET', row, 'epoch', 'attempts', 'created', 'state', 'id', 'model', 'address',
      'blob', 'lang', 'trace')
    values[9], values[10] = values[9] or '', values[10] or ''
    table.insert(values, 1, ids[i])
    reply[#reply + 1] = values
  end
end
local next_due = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
if next_due[2] then
  reply[1] = max(0, next_due[2] - now)
end
return reply
