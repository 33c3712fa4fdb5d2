-- SPDX-License-Identifier: MIT
-- forget: how a job goes away altogether.

-- Removes every trace but the events, which hold nothing but the id and age out.
local function erase(r)
  pull_out(r)
  throw_away_input(r, now)
  if retention_of(r.model, 0).input > UNDO_WINDOW_MS then
    throw_away('inputs/' .. public_id_of(r), now) -- it may have been kept beyond its job's end
  end
  if r.state == 'S' then
    throw_away_results(r, r.epoch, r.epoch, now)
    if call('EXISTS', P .. 'heirs:' .. r.id) == 1 then
      call('RPUSH', P .. 'kin', r.id .. 'X')
      ended_parents = true
    end
  elseif r.state ~= 'F' and r.state ~= 'C' then
    throw_away_results(r, 1, r.epoch, now + UPLOAD_WINDOW_MS)
  end
  if r.state == 'S' or r.state == 'F' or r.state == 'C' then
    call('ZREM', P .. 'done', r.id)
  else
    count_state(r, -1)
    tell_kin(r.id, 'X')
  end
  drop_heritage_of(r)
  local batch = r.extra_size > 0 and extra_get(r, 'b')
  if batch and call('HINCRBY', P .. 'b:' .. sub(batch, 3, 14), 'left', '-1') <= 0 then
    call('UNLINK', P .. 'b:' .. sub(batch, 3, 14), P .. 'bj:' .. sub(batch, 3, 14))
  end
  if has(r, FLAG_DEAD) then
    call('ZREM', P .. 'dlq', r.id)
    count(r.model, 'dead', -1)
  end
  rows_erase(r.id)
  call('DEL', P .. 'j:' .. r.id, P .. 'h:' .. r.id)
  if r.blob_size > 0 then
    call('DEL', P .. 'sent:' .. format('%s-%x-m', public_id_of(r), r.updated))
  end
  local of_flow, of_address = index_names(flow_of(r), address_of(r))
  if of_flow then
    index_drop(of_flow)
  end
  if of_address then
    index_drop(of_address)
  end
  note_event(r, 'X')
end
