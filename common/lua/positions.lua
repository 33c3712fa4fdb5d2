-- SPDX-License-Identifier: MIT
-- @use base record lane position
-- positions: where many jobs stand, each model looked at once.
--
-- ARGV  public ids…
-- Reply of each {position, eta ms}; -1 unless it waits in a lane
local reply = {}
for i = 1, #ARGV do
  local r = load(sub(ARGV[i], 3, 14))
  local position, eta = -1, -1
  if r and public_id_of(r) == ARGV[i] then
    position, eta = position_of(r, flow_of(r), 256)
  end
  reply[i] = {position, eta}
end
return reply
