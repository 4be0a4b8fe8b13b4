-- Claims jobs. ARGV: route, most items, most bytes, which of them (batch, any, overdue), the
-- time that this is about (of overdue ones from now on), the lease, the number of this claim, and that of the first before
-- it whose answer never came.
begin()
local route, max_items, max_bytes = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local which, time, lease = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
if which == 'overdue' then
  time = now + time
end
local number, unanswered = tonumber(ARGV[9]), tonumber(ARGV[10])
local token = ME .. '.' .. ARGV[9]
local slot = P .. 'a:' .. ME .. ':' .. route
-- Most jobs that are claimed at once, since all others wait that long, and most whose lease
-- ran out that are looked at.
local MOST, MOST_LAPSED = 10000, 64
local claimed, handles = {}, {}

local function answer()
  -- Not unpacked: Lua has no room for so many.
  local all = table.concat(handles, ' ')
  call('SET', slot, int(number) .. ' ' .. token .. ' ' .. all, 'PX', int(2 * lease))
  return finish_up({ token, claimed }, route)
end

-- Its job is this process's.
local function give(handle, deadline, interrupted)
  local job = call('HGET', P .. 'r:' .. handle, 'job')
  table.insert(handles, handle)
  -- From now on, since clocks may differ.
  table.insert(claimed, { handle, job or '', int(num(deadline) - now), interrupted })
end

local function take(handle, deadline, interrupted, state)
  call('HSET', P .. 'r:' .. handle, 'state', 1, 'token', token, 'interrupted', interrupted)
  unlease(handle, route)
  call('ZADD', P .. 'l:' .. route, int(now + lease), handle)
  if state == '0' then
    goes_on(route, 0, 1)
  end
  of(route)
  give(handle, deadline, interrupted)
end

-- A record is gone though its job waits, or was claimed: a server that evicts has done that.
local function vanished(handle, frame)
  local function is_in(by) return call('ZREM', P .. by .. route, handle) == 1 end
  local leased, paused, waits = is_in('l:'), is_in('p:'), is_in('d:')
  if frame and call('ZREM', P .. 'q:' .. route .. ':' .. frame, handle) == 1 then
    frame_of(route, frame)
  end
  if leased or waits then
    local state = leased and not paused and 1 or 0
    count(route, 'p' .. state, -1)
    count(route, 'd' .. state, 1)
    records = records - 1
  end
end

-- What was claimed and never told is told again; a claim that comes late does nothing.
local before = call('GET', slot)
if before then
  local words = {}
  for word in string.gmatch(before, '%S+') do
    table.insert(words, word)
  end
  local last = tonumber(words[1])
  if last >= number then
    return finish_up({ token, claimed }, route)
  end
  if unanswered and last >= unanswered and #words > 2 then
    token = words[2]
    for i = 3, #words do
      local r = call('HMGET', P .. 'r:' .. words[i], 'token', 'state', 'deadline', 'interrupted')
      if r[1] == token and r[2] == '1' then
        call('ZADD', P .. 'l:' .. route, int(now + lease), words[i])
        give(words[i], r[3], tonumber(r[4]))
      end
    end
    if #claimed > 0 then
      of(route)
      return answer()
    end
    token = ME .. '.' .. ARGV[9]
  end
end

-- A process is gone: what it may have sent waits apart from then on, and counts that; what it
-- had not, waits again with all others.
local lapsed = call('ZRANGEBYSCORE', P .. 'l:' .. route, 1, int(now), 'LIMIT', 0, MOST_LAPSED)
for _, handle in ipairs(lapsed) do
  local key = P .. 'r:' .. handle
  local r = call('HMGET', key, 'state', 'frame', 'items', 'bytes', 'deadline', 'interrupted')
  local interrupted = num(r[6])
  if r[1] == '1' then
    interrupted = interrupted + 1
    call('HSET', key, 'state', 0, 'interrupted', interrupted)
    goes_on(route, 1, 0)
  end
  if not r[1] then
    vanished(handle)
  else
    unlease(handle, route)
    call('HDEL', key, 'token')
    back(handle, route, r[2], num(r[3]), num(r[4]), r[5], interrupted)
  end
  of(route)
end
-- They are among what waits from here on.
write_frames()
frames = {}

-- Claims one that waits, unless it is too much; whether others may come with it.
local items, size = 0, 0
local function claim(handle, frame)
  local r = call('HMGET', P .. 'r:' .. handle, 'state', 'frame', 'items', 'bytes', 'deadline',
    'interrupted')
  if not r[1] then
    vanished(handle, frame)
    return true
  end
  local more_items, more, interrupted = num(r[3]), num(r[4]), num(r[6])
  local is_too_much = items + more_items > max_items or size + more > max_bytes
  if #claimed > 0 and (is_too_much or interrupted > 0) then
    return false
  end
  items, size = items + more_items, size + more
  unwait(handle, route, r[2], more_items, more)
  take(handle, r[5], interrupted, r[1])
  return interrupted == 0
end

-- What waits apart comes before all others, and by itself.
local apart = call('ZRANGEBYSCORE', P .. 'l:' .. route, 0, 0, 'LIMIT', 0, MOST_LAPSED)
for _, handle in ipairs(apart) do
  local deadline = num(call('ZSCORE', P .. 'd:' .. route, handle))
  if (which ~= 'overdue' or deadline <= time) and not claim(handle) then
    return answer()
  end
end

-- The frame of which a batch is made, if one is.
local function frame_to_claim()
  local oldest = first(P .. 'fo:' .. route)
  if which == 'any' or (oldest[2] and tonumber(oldest[2]) <= time) then
    return oldest[1]
  end
  for by, enough in pairs({ ['fi:'] = max_items, ['fb:'] = max_bytes }) do
    local most = call('ZREVRANGE', P .. by .. route, 0, 0, 'WITHSCORES')
    if most[2] and tonumber(most[2]) >= enough then
      return most[1]
    end
  end
end

local limit = math.max(1, math.min(max_items, MOST))
local waiting, frame = {}, nil
if which == 'overdue' then
  waiting = call('ZRANGEBYSCORE', P .. 'd:' .. route, '-inf', int(time), 'LIMIT', 0, limit)
else
  frame = frame_to_claim()
  if frame then
    waiting = call('ZRANGE', P .. 'q:' .. route .. ':' .. frame, 0, limit - 1)
  end
end
for _, handle in ipairs(waiting) do
  if not claim(handle, frame) then
    break
  end
end
return answer()
