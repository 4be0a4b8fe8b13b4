-- Claimed jobs wait again, in their old places. ARGV: of each its handle and token.
begin()
for i = 3, #ARGV, 2 do
  local handle, token = ARGV[i], ARGV[i + 1]
  local key = P .. 'r:' .. handle
  local r = call('HMGET', key, 'state', 'token', 'route', 'frame', 'items', 'bytes', 'deadline',
    'interrupted')
  local state, route = r[1], r[3]
  if state and tonumber(state) < 2 and r[2] == token then
    unlease(handle, route)
    call('HDEL', key, 'token')
    if state == '1' then
      call('HSET', key, 'state', 0)
      goes_on(route, 1, 0)
    end
    back(handle, route, r[4], num(r[5]), num(r[6]), r[7], num(r[8]))
    of(route)
  end
end
return finish_up('')
