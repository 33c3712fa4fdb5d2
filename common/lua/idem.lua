-- SPDX-License-Identifier: MIT
-- idem: one job for each idempotency key of a flow.
--
-- `idem:<flow>:<hash of the key>` holds a letter, a public id and the hash of the body: `R` while somebody
-- prepares that job, for as long as its caller says, then `D`, the job was accepted, for a day. Only submit
-- makes it `D`, in the same step as the job; so whoever prepares too long, or is dead, can neither
-- make a second job nor hold up for ever the one who asks again.
local IDEM_KEPT_MS = 86400000
local IDEM_FLIGHT, IDEM_OTHER, IDEM_DONE, IDEM_BROKEN = 8, 9, 10, 12
local idem_refused = {}

local function idem_key(flow, hash)
  return P .. 'idem:' .. flow .. ':' .. hash
end

-- The key and the body's hash of a packed record with a line `i=<hash>:<body>`; nil where it has none.
local function idem_of(flow, packed)
  local high, low = string.byte(packed, 56, 57)
  local size = high * 256 + low
  if size == 0 then
    return nil
  end
  local hash, body = string.match('\n' .. sub(packed, -size), '\ni=(%x+):(%x+)\n')
  return hash and idem_key(flow, hash), body
end

-- What stands in the way of this job: a status, and with IDEM_DONE the other job's public id. nil: nothing.
local function idem_look(key, public_id, body)
  local held = redis.pcall('GET', key)
  if not held then
    return nil
  end
  if type(held) ~= 'string' or not string.find(held, '^[RD]%x+$') or #held ~= 35 + #body then
    return IDEM_BROKEN
  end
  local other = sub(held, 2, 35)
  if sub(held, 36) ~= body then
    return IDEM_OTHER
  elseif other == public_id then
    return nil
  elseif sub(held, 1, 1) == 'R' then
    return IDEM_FLIGHT
  end
  return IDEM_DONE, other
end

-- After submit has said whether there is the job.
local function idem_settle(key, public_id, body, accepted)
  if accepted then
    call('SET', key, 'D' .. public_id .. body, 'PX', IDEM_KEPT_MS)
  else
    idem_refused[#idem_refused + 1] = key
  end
end

-- Runs `verb`(i), submit or adopt, unless the job's key stands for another one.
local function idem_once(i, verb)
  local public_id, packed = ARGV[i], ARGV[i + 5]
  local key, body = idem_of(ARGV[i + 2], packed)
  if not key then
    return verb(i)
  end
  local status, other = idem_look(key, public_id, body)
  if status then
    return {status, 'Q', 0, -1, -1, other}
  end
  local reply, problem = verb(i)
  if reply then
    idem_settle(key, public_id, body, reply == now or reply[1] < 2)
  end
  return reply, problem
end

-- Runs `verb` for each job of a call. The replies; what is wrong with a record that cannot be read, where it stops;
-- and the error that ended it: all three are for idem_reply(), once what was accepted is written.
local function idem_each(verb)
  local replies, problem = {}, nil
  local whole, failure = pcall(function()
    for i = 5, 4 + 6 * ARGV[4], 6 do
      local reply
      reply, problem = idem_once(i, verb)
      if not reply then
        return
      end
      replies[#replies + 1] = reply
    end
  end)
  return replies, problem, not whole and failure or nil
end

-- Who was refused may ask again at once. Comes last, for it writes what Redis permits when out of memory.
local function idem_finish()
  if #idem_refused > 0 then
    call('DEL', unpack(idem_refused))
  end
end

-- Ends submit and adopt. What was accepted before a record that cannot be read stays: repeating the call finds it.
local function idem_reply(replies, problem, failure)
  finish()
  idem_finish()
  if failure then
    error(failure, 0)
  end
  return problem and redis.error_reply(problem) or replies
end
