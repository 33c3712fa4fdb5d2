-- SPDX-License-Identifier: MIT
-- @use base write account
-- key_list: some of the keys; begin with cursor 0, go on until it is 0 again. KEYS[1] is `{k}`.
--
-- ARGV  cursor, about how many; then the fields that are wanted
-- Reply {next cursor, {value, …}, …}, values as of key_get; a key may come twice. What has expired is forgotten here.
local page = call('HSCAN', P .. 'keys', ARGV[1], 'COUNT', ARGV[2])
local reply, ids = {page[1]}, page[2]
for i = 1, #ids, 2 do
  local values = key_values(ids[i + 1], 3)
  if values[1] then
    reply[#reply + 1] = values
  else
    call('HDEL', P .. 'keys', ids[i])
  end
end
return reply
