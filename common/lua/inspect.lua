-- SPDX-License-Identifier: MIT
-- inspect: for fsck, which says in its own lines what is wrong.

-- As load(), with what is wrong behind the key's name.
local function inspect(id)
  local r, problem = load(id)
  if r == false then
    return false, string.match(problem, ': (.*)$') or problem
  end
  return r
end
