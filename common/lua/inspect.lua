-- SPDX-License-Identifier: MIT
-- inspect: for fsck, which must read what nobody else would touch.

-- As load(), but a key of a foreign type is no error: false, and what is wrong with it.
local function inspect(id)
  local kind = call('TYPE', P .. 'j:' .. id).ok
  if kind == 'none' then
    return nil
  end
  if kind ~= 'string' then
    return false, 'a ' .. kind .. ', expected a string'
  end
  local r, problem = load(id)
  if r == false then
    return false, string.match(problem, ': (.*)$') or problem
  end
  return r
end
