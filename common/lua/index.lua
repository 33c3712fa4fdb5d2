-- SPDX-License-Identifier: MIT
-- index: the jobs of an account, and the jobs of an e-mail address.
--
-- `byflow:<flow>`, `byaddr:<address hash>`: lists of ids, the oldest first; 15 bytes for a job. Visitors' flows have
-- none: nobody may list them. Jobs are mostly forgotten in the order in which they came, so an id goes when it
-- is the first; one that is forgotten before others names no record until those have gone too.
-- `bases`: list → ids that were ever taken off its front, so that a place in it can be told for good.
local DROPS_MAX = 16
local ADDRESS_AT = 51 -- where a packed record has the address' size, from 1
local byte = string.byte

local function index_names(flow, address)
  return is_account(flow) and 'byflow:' .. flow or nil, address ~= '' and 'byaddr:' .. address or nil
end

-- For an account, and for an address: the packed record says where that is.
local function index_add(id, flow, packed)
  local model_size, flow_size, extension_size, address_size = byte(packed, ADDRESS_AT - 3, ADDRESS_AT)
  local first = HEAD_SIZE + model_size + flow_size + extension_size
  local of_flow, of_address = index_names(flow, sub(packed, first + 1, first + address_size))
  if of_flow then
    call('RPUSH', P .. of_flow, id)
  end
  if of_address then
    call('RPUSH', P .. of_address, id)
  end
end

-- Of a job whose record is deleted already.
local function index_drop(name)
  local key, dropped = P .. name, 0
  while dropped < DROPS_MAX do
    local first = call('LINDEX', key, 0)
    if not first or call('EXISTS', P .. 'j:' .. first) == 1 then
      break
    end
    call('LPOP', key)
    dropped = dropped + 1
  end
  if call('EXISTS', key) == 0 then
    call('HDEL', P .. 'bases', name)
  elseif dropped > 0 then
    call('HINCRBY', P .. 'bases', name, dropped)
  end
end
