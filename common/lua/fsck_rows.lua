-- SPDX-License-Identifier: MIT
-- @use base write record rows
-- fsck_rows: is every notification either in a line, where somebody will send it, or given up? A page.
--
-- ARGV  1 to mend, cursor ('0' at first), count
-- Reply {next cursor, line…} as fsck_places
local mend = ARGV[1] == '1'
local page = call('SCAN', ARGV[2], 'MATCH', P .. 'n:*', 'COUNT', ARGV[3])
local reply = {page[1]}

local function found(notify_id, what)
  reply[#reply + 1] = (mend and 'M' or 'F') .. 'n:' .. notify_id .. ' ' .. what
  return mend
end

-- Where the row has to be; nil where it is there.
local function missing(notify_id, dead)
  local target = target_of(notify_id)
  if dead then
    return not call('ZSCORE', P .. 'unsent', notify_id) and 'unsent' or nil
  elseif target == 'm' then
    return not call('ZSCORE', P .. 'due', notify_id) and 'due' or nil
  elseif not call('ZSCORE', P .. 'hl:' .. target, notify_id) and
    not call('ZSCORE', P .. 'hq:' .. target, notify_id) then
    return 'hq:' .. target
  end
  return not call('ZSCORE', P .. 'hooks', target) and 'hooks' or nil
end

-- Does the job say of its mail what the row says?
local function look_at_job(notify_id, id, dead)
  local r = load(id)
  local letter = r and r.extra_size > 0 and sub(extra_get(r, 'm') or '', 1, 1)
  if letter and letter ~= '' and not string.find(dead and 'f' or 'whq', letter, 1, true) and
    found(notify_id, 'its job says ' .. letter) then
    mail_note(id, dead and 'f' or 'w')
  end
end

local function look_at(notify_id)
  local key, id = P .. 'n:' .. notify_id, sub(notify_id, 3, 14)
  local kind = call('TYPE', key).ok
  if kind ~= 'hash' then
    if kind ~= 'none' and found(notify_id, 'a ' .. kind .. ', expected a hash') then
      call('RENAME', key, P .. 'bad:n:' .. notify_id)
    end
    return
  end
  if target_of(notify_id) == '' or call('EXISTS', P .. 'j:' .. id) == 0 then
    if found(notify_id, 'there is no record of its job') then
      row_delete(notify_id)
    end
    return
  end
  local dead = call('HGET', key, 'dead')
  local place = missing(notify_id, dead)
  if place and found(notify_id, 'not in ' .. place) then
    if dead then
      call('ZADD', P .. 'unsent', dead, notify_id)
    else
      row_wait(notify_id, now)
    end
  end
  if target_of(notify_id) == 'm' then
    look_at_job(notify_id, id, dead)
  end
  if call('SISMEMBER', P .. 'nj:' .. id, notify_id) == 0 and found(notify_id, 'not in nj:' .. id) then
    call('SADD', P .. 'nj:' .. id, notify_id)
  end
end

for i = 1, #page[2] do
  look_at(sub(page[2][i], #P + 3))
end
return reply
