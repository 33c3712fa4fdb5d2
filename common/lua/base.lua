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

-- The version of docs/protocol.md that these scripts speak, and the oldest that they work beside.
local PROTOCOL, OLDEST = 2, 2

-- Under `protocol` is `version` or `version oldest`, by whichever program wrote it last. Both sides must know
-- the other, or the program stays away. Nothing there: an empty Redis.
local function check_protocol(text)
  if not text or tonumber(text) == PROTOCOL then
    return
  end
  local version, oldest = string.match(text, '^(%d+) ?(%d*)$')
  version = tonumber(version)
  oldest = tonumber(oldest) or version
  local key, why = P .. 'protocol', nil
  if not version then
    why = 'CORRUPT ' .. key .. ': ' .. sub(text, 1, 20) .. ', expected a version'
  elseif oldest > PROTOCOL then
    why = format('PROTOCOL %s: the data have version %d, for programs of %d or newer, and this program has version %d: ' ..
      'start a newer one', key, version, oldest, PROTOCOL)
  elseif version < OLDEST then
    why = format('PROTOCOL %s: the data have version %d, and this program has version %d and knows data of %d or newer: ' ..
      'start an older one first', key, version, PROTOCOL, OLDEST)
  end
  if why then
    error(redis.error_reply(why), 0)
  end
end
