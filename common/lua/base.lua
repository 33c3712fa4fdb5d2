-- SPDX-License-Identifier: MIT
-- base: what every script begins with.
--
-- KEYS[1] is the prefix of the shard, `{q:00}`, which routes the call in a cluster; every key is
-- made from it. `now` is Redis' own clock in milliseconds: no caller's clock decides anything.
local call, format, sub = redis.call, string.format, string.sub
local try = redis.pcall -- hands an error back as a table without elements
local floor, max, min = math.floor, math.max, math.min
local P = KEYS[1]
local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

-- A program and the data in Redis speak the same version, or the program stays away.
local function check_protocol(version)
  if version and version ~= '2' then
    error(redis.error_reply('UNSUPPORTED ' .. P .. 'protocol: version ' .. version .. ', expected 2'), 0)
  end
end
