-- SPDX-License-Identifier: MIT
-- @use base write sound record lane flow rows settle index forget kin
-- erase: cancel and forget.
--
-- ARGV  public id, retain ms
-- Reply 1; 0 when there was nothing (left)
-- A record that cannot be read is deleted all the same: the owner's wish does not wait for fsck.
local id = sub(ARGV[1], 3, 14)
local r = load(id)
if r == false then
  for _, set in ipairs({'lease', 'delay', 'done', 'dlq', 'corrupt'}) do
    call('ZREM', P .. set, id)
  end
  rows_erase(id)
  call('DEL', P .. 'j:' .. id, P .. 'h:' .. id)
  throw_away('inputs/' .. ARGV[1], now)
  return finish(1)
end
if not r or public_id_of(r) ~= ARGV[1] then
  return 0
end
erase(r)
settle_own_kin(tonumber(ARGV[2]))
return finish(1)
