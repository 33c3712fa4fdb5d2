-- SPDX-License-Identifier: MIT
-- replay_rows: notifications sent again because somebody asked for it. ARGV 1 to 3: see notify_replay.
local kind, of_flow, unsent_only = ARGV[1], ARGV[2], ARGV[3] == '1'
local mail, hooks = kind ~= 'webhook', kind ~= 'mail'

-- A row that was given up has its three days again.
local function replay_row(notify_id)
  local key = P .. 'n:' .. notify_id
  local known = call('HMGET', key, 'dead', 'id')
  local is_mail = target_of(notify_id) == 'm'
  local r = known[1] and load(sub(notify_id, 3, 14))
  if not r or (is_mail and not mail) or (not is_mail and not hooks) or
    (of_flow ~= '' and flow_of(r) ~= of_flow) then
    return 0
  end
  call('HDEL', key, 'dead', 'reason', 'failing')
  call('HSET', key, 'attempts', 0, 'created', format('%.0f', now))
  call('ZREM', P .. 'unsent', notify_id)
  if is_mail then
    mail_note(r.id, 'w')
  end
  row_wait(notify_id, now)
  return 1
end

local function replay_job(r)
  if of_flow ~= '' and flow_of(r) ~= of_flow then
    return 0
  end
  if not unsent_only then
    return (r.state == 'S' or r.state == 'F' or r.state == 'C') and rows_make(r, mail, hooks, true) or 0
  end
  local made, rows = 0, call('SMEMBERS', P .. 'nj:' .. r.id)
  for i = 1, #rows do
    made = made + replay_row(rows[i])
  end
  return made
end
