-- SPDX-License-Identifier: MIT
-- @use base write
-- protocol: may this program work on the data here? The first one of a newer version writes its own down.
--
-- Reply what stands under `protocol` now
-- In one step, so that a program which is late cannot take back what a newer one has written.
local text = call('GET', P .. 'protocol')
check_protocol(text)
if not text or tonumber(string.match(text, '^%d+')) < PROTOCOL then
  text = PROTOCOL == OLDEST and tostring(PROTOCOL) or PROTOCOL .. ' ' .. OLDEST
  call('SET', P .. 'protocol', text)
end
return text
