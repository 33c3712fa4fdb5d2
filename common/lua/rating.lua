-- SPDX-License-Identifier: MIT
-- @use base write record
-- rating: what the owner thinks of a result. One for each job, in its record, and changeable.
--
-- ARGV  public id, `u` up, `d` down or '' none (any more)
-- Reply the state letter that the job has; only an S took it. Nil: no such job
-- The counters `rated_u` and `rated_d` of the model go up and down with it. When the job is forgotten they stay, as
-- `succeeded` does.
local r, problem = load(sub(ARGV[1], 3, 14))
if r == false then
  return redis.error_reply(problem)
end
if not r or public_id_of(r) ~= ARGV[1] then
  return false
end
local old = extra_get(r, 'r') or ''
if r.state == 'S' and old ~= ARGV[2] then
  extra_set(r, 'r', ARGV[2] ~= '' and ARGV[2] or nil)
  save_whole(r)
  if old ~= '' then
    count(r.model, 'rated_' .. old, -1)
  end
  if ARGV[2] ~= '' then
    count(r.model, 'rated_' .. ARGV[2], 1)
  end
end
return finish(r.state)
