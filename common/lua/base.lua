-- SPDX-License-Identifier: MIT
-- base: what every script begins with.
--
-- KEYS[1] is the prefix of the shard, `{q:00}`, which routes the call in a cluster; every key is
-- made from it. `now` is Redis' own clock in milliseconds: no caller's clock decides anything.
local call, format, sub = redis.call, string.format, string.sub
local floor, max, min = math.floor, math.max, math.min
local P = KEYS[1]
local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
