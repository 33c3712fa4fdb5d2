-- SPDX-License-Identifier: MIT
-- explain: what stands behind every script and runs only where it failed: `reply` is the error.
--
-- Redis says that some key is of a wrong type, but not which. So every key that the script may have meant
-- is looked at: the shard's own, those of the ids and names that it was given, those of the models.
local text = type(reply) == 'table' and reply.err or tostring(reply)
-- Redis 6.2 and Lua put the line in front.
text = string.gsub(text, '^.-user_%a+:%s*%d+:%s*', '')
text = string.gsub(text, '^@user_%a+:%s*%d+:%s*', '')
text = string.gsub(text, '^%-', '')
-- Redis 6.2 can be told to replicate scripts as they are; then none may write that has asked for the time.
if string.find(text, 'replicate_commands', 1, true) then
  text = 'UNSUPPORTED this Redis replicates scripts, not what they write: set lua-replicate-commands yes'
end
if not string.find(text, '^WRONGTYPE') then
  return redis.error_reply(text)
end
local KINDS = {
  string = {'protocol', 'tick', 'evid', 'j', 'clock', 'nonce', 'w', 'pause', 'view', 'sent', 'idem', 'shards', 'hold'},
  list = {'r', 'h', 'wake', 'push', 'byflow', 'byaddr', 'kids', 'kin', 'bj', 'pace'},
  set = {'models', 'held', 'nj', 'parents', 'heirs'},
  zset = {'lease', 'delay', 'deadline', 'done', 'dlq', 'corrupt', 'due', 'unsent', 'trash', 'purge', 'workers', 'hooks',
    'rated', 'park', 'ring', 'idle', 'tomb', 'hq', 'hl', 'rate', 'open'},
  hash = {'run', 'limits', 'full', 'ages', 'bases', 'c', 'm', 'tail', 'slots', 'parked', 'n', 'need', 'b', 'key', 'keys',
    'accounts', 'origins'},
  stream = {'ev', 'out'}}
local kind_of, known = {}, {}
for kind, words in pairs(KINDS) do
  for i = 1, #words do
    kind_of[words[i]] = kind
    known[#known + 1] = words[i]
  end
end
local found

local function look(name)
  local kind, expected = redis.call('TYPE', P .. name).ok, kind_of[string.match(name, '^%a+')]
  if kind ~= 'none' and kind ~= expected and not found then
    found = 'CORRUPT ' .. P .. name .. ': a ' .. kind .. ', expected a ' .. expected
  end
  return kind == expected
end

local function look_at_all(words, rest)
  for i = 1, #words do
    look(words[i] .. ':' .. rest)
  end
end

local function look_at_set(set)
  look_at_all({'clock', 'idle', 'tail', 'view'}, set)
  local flows = look('ring:' .. set) and redis.call('ZRANGE', P .. 'ring:' .. set, 0, 99) or {}
  for i = 1, #flows do
    look_at_all({'r', 'tomb'}, set .. ':' .. flows[i])
  end
end

local function look_at_model(model)
  look_at_all({'c', 'm', 'wake', 'slots', 'pause'}, model)
  for priority = 0, 2 do
    look_at_set(model .. ':' .. priority)
  end
end

-- Of a job whose record can be read: its lane. The layout is record.lua's.
local function look_at_job(id)
  look_at_all({'j', 'h', 'kids', 'need'}, id)
  local raw = redis.pcall('GETRANGE', P .. 'j:' .. id, 0, 255)
  if type(raw) ~= 'string' or #raw < 64 then
    return
  end
  local model_size, flow_size = string.byte(raw, 48, 49)
  local lane = ':' .. string.sub(raw, 65 + model_size, 64 + model_size + flow_size)
  for priority = 0, 2 do
    look_at_all({'r', 'tomb'}, string.sub(raw, 65, 64 + model_size) .. ':' .. priority .. lane)
  end
end

for i = 1, #known do
  look(known[i])
end
look('c:')
local models = look('models') and redis.call('SMEMBERS', P .. 'models') or {}
for i = 1, #models do
  look_at_model(models[i])
end
for i = 1, #ARGV do
  local word = ARGV[i]
  if string.find(word, '^%x+$') and (#word == 12 or #word == 34) then
    look_at_job(#word == 12 and word or string.sub(word, 3, 14))
  elseif #word <= 64 and string.find(word, '^[%w._-]+$') then
    look_at_all({'nonce', 'push', 'w', 'held', 'parked', 'byflow', 'byaddr', 'rate', 'key'}, word)
    look_at_model(word)
    for j = 1, #models do
      for priority = 0, 2 do
        look_at_all({'r', 'tomb'}, models[j] .. ':' .. priority .. ':' .. word)
      end
    end
  end
end
return redis.error_reply(found or text .. ' (some key under ' .. P .. ')')
