-- SPDX-License-Identifier: MIT
-- kin: jobs that wait for others, and those that take another's result as their input.
--
-- A job with parents waits in `delay` beyond FAR, with FLAG_WAITING; `need` counts the parents that have
-- not succeeded yet. `kids:<parent>` lists who waits for a job, which is then in `parents`. When it ends, it
-- moves from there to the line `kin` (settle.lua), as `<id><letter>`: S released, F failed, C cancelled,
-- X erased. What follows from that takes its turn here, so many children in one script, and the rest
-- in later ones: each child leaves its parent's list in the script that counts it, so that it is counted
-- once. A batch is a parent, too: its sealing is an S. One that was never sealed is a Z: its jobs were
-- promised to nobody, and vanish.
-- `heirs:<parent>` holds the unfinished jobs whose input is that job's result, which stays as long as they
-- are there. Their line `f` of extra is the parent's public id, and `/<epoch>/result.<extension>` behind
-- it once there is one.
local KIN_LIMIT = 32
local OPEN_MS = 60000 -- a batch that grows no more for so long is given up

-- Made only where somebody waits: most scripts that end jobs end none with children.
local function kin_verbs(retain_ms)
  local ENDED = {F = 'failed', C = 'was cancelled', X = 'was erased'}

  local function fail_child(r, parent, letter)
    local public_id = string.match(extra_get(r, 'p') or '', '%x%x' .. parent .. '%x+') or parent
    end_failed(r, retain_ms, 'parent_failed\njob ' .. public_id .. ' ' .. ENDED[letter])
  end

  -- True unless its input should be the result of a job that is gone.
  local function inherit(r)
    local from = extra_get(r, 'f')
    if not from or #from > 34 then
      return true
    end
    local parent = load(sub(from, 3, 14))
    if not parent or public_id_of(parent) ~= from or parent.state ~= 'S' then
      return false
    end
    extra_set(r, 'f', from .. '/' .. parent.epoch .. '/result.' .. extension_of(parent))
    return true
  end

  -- All its parents have succeeded.
  local function release(r)
    if not inherit(r) then
      fail_child(r, sub(extra_get(r, 'f'), 3, 14), 'X')
      return
    end
    local run_at = (tonumber(call('ZSCORE', P .. 'delay', r.id)) or FAR) - FAR
    call('HDEL', P .. 'need', r.id)
    set_flag(r, FLAG_WAITING, false)
    set_deadline(r, run_at)
    if run_at > now then
      call('ZADD', P .. 'delay', format('%d', run_at), r.id)
    else
      call('ZREM', P .. 'delay', r.id)
      move(r, 'Q')
      lane_push(r, false, false)
      wake(r.model)
    end
    save_whole(r)
  end

  -- One of its parents has ended.
  local function tell(id, parent, letter, erase_job)
    local r = load(id)
    if not r or r.state ~= 'D' or not has(r, FLAG_WAITING) then
      return
    elseif letter == 'Z' then
      erase_job(r)
    elseif letter ~= 'S' then
      fail_child(r, parent, letter)
    elseif call('HINCRBY', P .. 'need', id, '-1') <= 0 then
      release(r)
    end
  end

  -- The result that is its input, or was to be, has been erased.
  local function disinherit(id, parent)
    local r = load(id)
    if r and (r.state == 'Q' or r.state == 'R' or r.state == 'D') then
      fail_child(r, parent, 'X')
    end
  end

  return {fail = fail_child, release = release, tell = tell, disinherit = disinherit}
end

-- The next so many; true if there are more. `erase_job` is forget.lua's; without it a Z is left to others.
local function settle_kin(limit, retain_ms, erase_job)
  local verbs
  while limit > 0 do
    local entry = call('LINDEX', P .. 'kin', '0')
    if not entry then
      return false
    end
    local parent, letter = sub(entry, 1, 12), sub(entry, 13)
    if letter == 'Z' and not erase_job then
      return true
    end
    verbs = verbs or kin_verbs(retain_ms)
    local kids = call('LPOP', P .. 'kids:' .. parent, limit) or {}
    for i = 1, #kids do
      verbs.tell(kids[i], parent, letter, erase_job)
    end
    limit = limit - #kids
    local heirs = letter == 'X' and limit > 0 and call('SPOP', P .. 'heirs:' .. parent, limit) or {}
    for i = 1, #heirs do
      verbs.disinherit(heirs[i], parent)
    end
    limit = limit - #heirs - 1
    if #kids + #heirs == 0 then
      call('LPOP', P .. 'kin')
    end
  end
  return true
end

-- Ends a batch that was not sealed.
local function drop_batch(batch)
  call('ZREM', P .. 'open', batch)
  if call('EXISTS', P .. 'bj:' .. batch) == 1 then
    call('HSET', P .. 'b:' .. batch, 'sealed', '2')
    call('RPUSH', P .. 'kin', batch .. 'Z')
  else
    call('DEL', P .. 'b:' .. batch)
  end
end

-- Of a script that may have ended parents: their first children at once.
local function settle_own_kin(retain_ms)
  if ended_parents then
    settle_kin(KIN_LIMIT, retain_ms)
  end
end
