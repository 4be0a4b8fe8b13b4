-- Keeps answers. ARGV: keep, and of each its handle, the token of its claim, its state, code,
-- bytes, and the answer. Returns the streams of those that are finished, and the routes of
-- those whose answers came too late.
begin()
local keep = tonumber(ARGV[3])
local streams, late = {}, {}

local function finish(handle, token, state, code, size, answer)
  local key = P .. 'r:' .. handle
  local r = call('HMGET', key, 'state', 'token', 'route', 'frame', 'items', 'bytes', 'stream')
  local before, route, stream = r[1], r[3], r[7]
  if not before then
    return
  end
  local is_finished = tonumber(before) >= 2
  -- Another process has it by now, or had: this answer comes too late.
  local is_late = (r[2] or '') ~= token and not (is_finished and token == '')
  if is_late then
    table.insert(late, route)
  elseif not is_finished then
    call('HDEL', key, 'job')
    if not unwait(handle, route, r[4], num(r[5]), num(r[6])) then
      unlease(handle, route)
    end
    local position, expires_at = int(tick()), int(now + keep)
    call('HSET', key, 'state', state, 'bytes', size, 'expires_at', expires_at, 'position',
      position, 'answer', answer)
    call('ZADD', P .. 'x', expires_at, handle)
    if stream then
      call('ZADD', P .. 's:' .. stream, position, handle)
      tell('streams', stream)
    end
    tell('finished', handle)
    goes_on(route, before, state)
    count(route, 'f:' .. code, 1)
    weighs(route, size - num(r[6]))
  end
  if stream and (is_finished or not is_late) then
    streams[stream] = true
  end
end

for i = 4, #ARGV, 6 do
  finish(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5])
end
local told = {}
for stream in pairs(streams) do
  table.insert(told, stream)
end
return finish_up({ told, late })
