-- What all scripts share. A script that changes something begins with begin() and ends with
-- finish_up(): in between, what is counted is gathered, and written once for all records.
--
-- KEYS[1] begins all keys, and its hash tag keeps them in one slot of a cluster.
--   all           seq, others (a mark of streams), records, bytes
--   routes        the names of all routes that records were ever made of
--   c:ROUTE       what is counted of a route
--   r:HANDLE      a record
--   k:ROUTE       the records of idempotency keys
--   x             finished records, by when they expire
--   q:ROUTE:FRAME jobs that wait, the oldest first
--   d:ROUTE       those of all frames, by when they are answered at the latest
--   fi: fb: fo:   frames of a route, by items, bytes, and the time of their oldest job
--   l:ROUTE       claimed jobs, by when their leases run out; jobs that wait apart, by nothing
--   p:ROUTE       those of them that count as queued
--   s:STREAM      answers of a stream, by position
--   sn sx sv      streams: how many records, where the last answer expired, and which of
--                 those without records are remembered
--   a:WHO:ROUTE   what somebody claimed last
--
-- ARGV[1] is the time in milliseconds, or nothing for the server's own; ARGV[2] is who asks.
local P, ME = KEYS[1], ARGV[2]
local call = redis.call

-- Streams without records that are remembered.
local REMEMBERED = 1024

-- Numbers as texts: Lua's own and Redis' would shorten large ones.
local function int(n) return string.format('%.0f', n) end
local function num(s) return tonumber(s or 0) or 0 end

local now, micros
if ARGV[1] == '' then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  micros = time[1] * 1000000 + time[2]
else
  now = tonumber(ARGV[1])
  micros = now * 1000
end

-- Positions and versions, in one row: they grow by the clock too, so that none is used twice
-- even by a server that has lost the last of them.
local seq, others

-- What changes, by route, and by route and frame.
local counts, frames = {}, {}
local records, bytes = 0, 0
-- Whether anybody is to hear of it, and what.
local news = {}

local function begin(may_be_refused)
  -- A server that is out of memory lets a script go on whose first write needs none.
  if not may_be_refused then
    call('DEL', P .. 'room')
  end
  local all = call('HMGET', P .. 'all', 'seq', 'others')
  seq, others = tonumber(all[1] or nil), tonumber(all[2] or nil)
  if not seq or not others then
    seq, others = seq or micros, others or micros
    call('HSET', P .. 'all', 'seq', int(seq), 'others', int(others))
  end
end

local function tick()
  seq = math.max(seq + 1, micros)
  return seq
end

local function of(route)
  local found = counts[route]
  if not found then
    found = {}
    counts[route] = found
  end
  return found
end

local function count(route, field, by)
  local found = of(route)
  found[field] = (found[field] or 0) + by
end

local function goes_on(route, from, to)
  count(route, 'p' .. from, -1)
  count(route, 'p' .. to, 1)
end

local function weighs(route, by)
  count(route, 'bytes', by)
  bytes = bytes + by
end

local function tell(what, one)
  news[what] = news[what] or {}
  table.insert(news[what], one)
end

local function frame_of(route, frame)
  local key = route .. ':' .. frame
  local found = frames[key]
  if not found then
    found = { route = route, frame = frame, items = 0, bytes = 0 }
    frames[key] = found
  end
  return found
end

-- When it was handed in.
local function millis(handle) return tonumber(string.sub(handle, 1, 12), 16) end

local function wait(handle, route, frame, items, size, deadline)
  call('ZADD', P .. 'q:' .. route .. ':' .. frame, millis(handle), handle)
  call('ZADD', P .. 'd:' .. route, deadline, handle)
  local found = frame_of(route, frame)
  found.items, found.bytes = found.items + items, found.bytes + size
end

-- It waits apart from all others, since it comes before them and by itself.
local function wait_apart(handle, route, deadline)
  call('ZADD', P .. 'l:' .. route, 0, handle)
  call('ZADD', P .. 'p:' .. route, millis(handle), handle)
  call('ZADD', P .. 'd:' .. route, deadline, handle)
end

-- It waits again.
local function back(handle, route, frame, items, size, deadline, interrupted)
  if interrupted > 0 then
    wait_apart(handle, route, deadline)
  else
    wait(handle, route, frame, items, size, deadline)
  end
end

-- Whether it was one that waits with others.
local function unwait(handle, route, frame, items, size)
  if call('ZREM', P .. 'q:' .. route .. ':' .. frame, handle) == 0 then
    return false
  end
  call('ZREM', P .. 'd:' .. route, handle)
  local found = frame_of(route, frame)
  found.items, found.bytes = found.items - items, found.bytes - size
  return true
end

local function unlease(handle, route)
  for _, by in ipairs({ 'l:', 'p:', 'd:' }) do
    call('ZREM', P .. by .. route, handle)
  end
end

local function first(key) return call('ZRANGE', key, 0, 0, 'WITHSCORES') end

-- A record of a stream is made.
local function enter(name)
  if call('HINCRBY', P .. 'sn', name, 1) == 1 and call('ZREM', P .. 'sv', name) == 0 then
    call('HSET', P .. 'sx', name, int(others))
  end
end

-- One is gone.
local function leave(name, handle, position, has_expired)
  if position then
    call('ZREM', P .. 's:' .. name, handle)
    if has_expired and tonumber(position) > num(call('HGET', P .. 'sx', name)) then
      call('HSET', P .. 'sx', name, position)
    end
  end
  if call('HINCRBY', P .. 'sn', name, -1) > 0 then
    return
  end
  call('HDEL', P .. 'sn', name)
  call('ZADD', P .. 'sv', int(tick()), name)
  if call('ZCARD', P .. 'sv') > REMEMBERED then
    local forgotten = call('ZPOPMIN', P .. 'sv')[1]
    others = math.max(others, num(call('HGET', P .. 'sx', forgotten)))
    call('HDEL', P .. 'sx', forgotten)
    call('HSET', P .. 'all', 'others', int(others))
  end
end

-- Removes a record; its state, route and whether its answer was read, or nothing.
local function remove(handle, has_expired)
  local key = P .. 'r:' .. handle
  local r = call('HMGET', key, 'state', 'route', 'bytes', 'frame', 'items', 'stream', 'key',
    'position', 'read')
  local state, route = r[1], r[2]
  call('ZREM', P .. 'x', handle)
  if not state then
    return nil
  end
  local size = num(r[3])
  if tonumber(state) < 2 and not unwait(handle, route, r[4], num(r[5]), size) then
    unlease(handle, route)
  end
  if r[7] and call('HGET', P .. 'k:' .. route, r[7]) == handle then
    call('HDEL', P .. 'k:' .. route, r[7])
  end
  if r[6] then
    leave(r[6], handle, r[8], has_expired)
  end
  call('DEL', key)
  count(route, 'p' .. state, -1)
  weighs(route, -size)
  records = records - 1
  return state, route, r[9]
end

-- Adds to a number that never goes below nothing, whatever a server has lost.
local function add(key, field, by)
  if by ~= 0 and call('HINCRBY', key, field, int(by)) < 0 then
    call('HSET', key, field, 0)
  end
end

local function write_frames()
  for _, it in pairs(frames) do
    local route, frame = it.route, it.frame
    local oldest = first(P .. 'q:' .. route .. ':' .. frame)
    if oldest[1] then
      call('ZINCRBY', P .. 'fi:' .. route, int(it.items), frame)
      call('ZINCRBY', P .. 'fb:' .. route, int(it.bytes), frame)
      call('ZADD', P .. 'fo:' .. route, oldest[2], frame)
    else
      for _, by in ipairs({ 'fi:', 'fb:', 'fo:' }) do
        call('ZREM', P .. by .. route, frame)
      end
    end
    of(route)
  end
end

-- Everything that is known of a route without asking: what is counted, and what waits.
local function view(route)
  local it = { route = route }
  local counted = call('HGETALL', P .. 'c:' .. route)
  for i = 1, #counted, 2 do
    it[counted[i]] = counted[i + 1]
  end
  it.jobs = int(call('ZCARD', P .. 'd:' .. route))
  local function most(by)
    local found = call('ZREVRANGE', P .. by .. route, 0, 0, 'WITHSCORES')
    return found[2] and int(found[2])
  end
  it.most_items, it.most_bytes = most('fi:'), most('fb:')
  local function least(by)
    local found = first(P .. by .. route)
    return found[2] and int(found[2]), found[1]
  end
  it.deadline, it.paused = (least('d:')), (least('p:'))
  local lapses, apart = least('l:')
  it.lapses = lapses
  local _, frame = least('fo:')
  local oldest = frame and first(P .. 'q:' .. route .. ':' .. frame)[1]
  if lapses == '0' and not (oldest and oldest < apart) then
    oldest = apart
  end
  if oldest then
    it.oldest = int(millis(oldest))
    it.owner = call('HGET', P .. 'r:' .. oldest, 'owner') or ''
  end
  return it
end

-- What everybody is told, and whoever asks too.
local function message(routes)
  local it = news
  it.by, it.now, it.seq = ME, int(now), int(seq)
  for _, route in ipairs(routes) do
    it.views = it.views or {}
    table.insert(it.views, view(route))
  end
  return cjson.encode(it)
end

-- Writes what was gathered, tells everybody, and answers: `shown` is a route of which whoever
-- asks is told though nothing has changed.
local function finish_up(answer, shown)
  write_frames()
  local routes = {}
  for route, changed in pairs(counts) do
    table.insert(routes, route)
    for field, by in pairs(changed) do
      add(P .. 'c:' .. route, field, by)
    end
  end
  add(P .. 'all', 'records', records)
  add(P .. 'all', 'bytes', bytes)
  if #routes == 0 and not next(news) then
    return { shown and message({ shown }) or '', answer }
  end
  tick()
  call('HSET', P .. 'all', 'seq', int(seq))
  local text = message(routes)
  call('PUBLISH', P .. 'news', text)
  return { text, answer }
end
