-- SPDX-License-Identifier: MIT
-- @use base
-- endpoint_list: an account's webhook endpoints. KEYS[1] is `{k}`.
--
-- ARGV  account; then the fields that are wanted
-- Reply {{endpoint id, value, …}, …}
local ids = call('SMEMBERS', P .. 'hooks:' .. ARGV[1])
table.sort(ids)
local reply = {}
for i = 1, #ids do
  local values = call('HMGET', P .. 'hook:' .. ids[i], unpack(ARGV, 2))
  table.insert(values, 1, ids[i])
  reply[#reply + 1] = values
end
return reply
