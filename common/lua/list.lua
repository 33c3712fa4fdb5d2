-- SPDX-License-Identifier: MIT
-- @use base record
-- list: a page of the jobs of an account or an address, the newest first.
--
-- ARGV  list (`byflow:<flow>`, `byaddr:<hash>`), cursor of the page before or -1, limit
-- Reply {cursor of the next page or -1, {id, record}…}
-- A cursor is a place that stays while jobs come in and go, so nothing is seen twice or left out.
local LOOKS_MAX = 1000 -- ids that one page looks at: a page may be short of jobs and yet not the last
local key, limit = P .. ARGV[1], tonumber(ARGV[3])
local base = tonumber(call('HGET', P .. 'bases', ARGV[1])) or 0
local place = base + call('LLEN', key) - 1
if ARGV[2] ~= '-1' then
  place = min(place, tonumber(ARGV[2]))
end
local reply, looks = {-1}, 0
while place >= base and #reply <= limit and looks < LOOKS_MAX do
  local first = max(base, place - limit + 1)
  local ids = call('LRANGE', key, first - base, place - base)
  for i = #ids, 1, -1 do
    if #reply > limit then
      break
    end
    local raw = call('GET', P .. 'j:' .. ids[i])
    if raw then
      reply[#reply + 1] = {ids[i], raw}
    end
    place, looks = place - 1, looks + 1
  end
end
reply[1] = place >= base and place or -1
return reply
