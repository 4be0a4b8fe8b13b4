-- Claimed jobs are sent, wait for another attempt, or are held on to. ARGV: which of these
-- (sent, pause, renew), the lease, and of each its handle and token. Returns those that are
-- not this process's to send.
begin()
local what, lease = ARGV[3], tonumber(ARGV[4])
local gone = {}

local function hold(handle, token)
  local key = P .. 'r:' .. handle
  local r = call('HMGET', key, 'state', 'token', 'route')
  local state, route = r[1], r[3]
  if not state or tonumber(state) >= 2 or r[2] ~= token then
    return false
  end
  if what == 'sent' and state == '0' then
    call('ZREM', P .. 'p:' .. route, handle)
    call('HSET', key, 'state', 1)
    goes_on(route, 0, 1)
  elseif what == 'pause' and state == '1' then
    call('ZADD', P .. 'p:' .. route, millis(handle), handle)
    call('HSET', key, 'state', 0)
    goes_on(route, 1, 0)
  end
  call('ZADD', P .. 'l:' .. route, int(now + lease), handle)
  of(route)
  return true
end

for i = 5, #ARGV, 2 do
  if not hold(ARGV[i], ARGV[i + 1]) then
    table.insert(gone, ARGV[i])
  end
end
return finish_up(gone)
