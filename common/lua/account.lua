-- SPDX-License-Identifier: MIT
-- account: what is the account's and not the key's. `account:<id>`, a hash: created, concurrency, max_queued.
local ACCOUNT_FIELDS = {'concurrency', 'max_queued'}

-- Values are numbers, or '' for what stays as it is.
local function account_set(account, concurrency, max_queued)
  local key = P .. 'account:' .. account
  call('HSETNX', key, 'created', format('%.0f', now))
  if concurrency ~= '' then
    call('HSET', key, 'concurrency', concurrency)
  end
  if max_queued ~= '' then
    call('HSET', key, 'max_queued', max_queued)
  end
end

-- The values of a key's hash, and its account's behind them; the account is the second of the fields.
local function key_values(digest, first_field)
  local values = call('HMGET', P .. 'key:' .. digest, unpack(ARGV, first_field))
  local limits = call('HMGET', P .. 'account:' .. (values[2] or ''), unpack(ACCOUNT_FIELDS))
  values[#values + 1] = limits[1]
  values[#values + 1] = limits[2]
  return values
end
