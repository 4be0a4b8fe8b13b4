-- Makes records, each for itself. ARGV: max_jobs, max_bytes, keep, and of each record its
-- handle, route, id, frame, stream, key, digest, in how many milliseconds it is to be answered,
-- bytes, items, job.
begin(true)
local max_jobs, max_bytes, keep = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local all = call('HMGET', P .. 'all', 'records', 'bytes')
local present, filled = num(all[1]), num(all[2])
local became = {}

-- The record that a key has made before, or nothing.
local function existing(route, key, digest)
  local handle = call('HGET', P .. 'k:' .. route, key)
  if not handle then
    return nil
  end
  local record = P .. 'r:' .. handle
  local r = call('HMGET', record, 'digest', 'state', 'expires_at', 'id', 'answer', 'read')
  if not r[2] then
    return nil
  end
  if r[1] ~= digest then
    return { 'reused' }
  end
  if tonumber(r[2]) >= 2 and not r[6] then
    call('HSET', record, 'read', 1)
  end
  return { 'existing', handle, route, r[2], r[3], r[4], r[5] }
end

local function accept(handle, route, id, frame, stream, key, digest, stay, size, items, job)
  local found = key ~= '' and existing(route, key, digest)
  if found then
    return found
  end
  if present >= max_jobs or filled + size > max_bytes then
    return { 'full', first(P .. 'x')[2] or '' }
  end
  -- By this clock, which is that of all replicas: their own may differ.
  local deadline, expires_at = int(now + stay), int(now + stay + keep)
  local record = { 'state', 0, 'route', route, 'id', id, 'frame', frame, 'deadline', deadline,
    'bytes', size, 'items', items, 'expires_at', expires_at, 'owner', ME, 'job', job }
  if stream ~= '' then
    table.insert(record, 'stream')
    table.insert(record, stream)
    enter(stream)
  end
  if key ~= '' then
    for _, it in ipairs({ 'key', key, 'digest', digest }) do
      table.insert(record, it)
    end
    call('HSET', P .. 'k:' .. route, key, handle)
  end
  call('HSET', P .. 'r:' .. handle, unpack(record))
  wait(handle, route, frame, items, size, deadline)
  count(route, 'p0', 1)
  count(route, 'accepted', 1)
  weighs(route, size)
  records, present, filled = records + 1, present + 1, filled + size
  return { 'new', expires_at }
end

local i = 6
while ARGV[i] do
  table.insert(became, accept(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4],
    ARGV[i + 5], ARGV[i + 6], tonumber(ARGV[i + 7]), tonumber(ARGV[i + 8]),
    tonumber(ARGV[i + 9]), ARGV[i + 10]))
  i = i + 11
end
for route in pairs(counts) do
  call('SADD', P .. 'routes', route)
end
return finish_up(became)
