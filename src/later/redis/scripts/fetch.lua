-- Reads a record. ARGV: its handle, and whether somebody is told its answer.
local key = P .. 'r:' .. ARGV[3]
local r = call('HMGET', key, 'route', 'state', 'expires_at', 'id', 'answer', 'read')
if not r[2] then
  return { '', '' }
end
if ARGV[4] == '1' and tonumber(r[2]) >= 2 and not r[6] then
  begin()
  call('HSET', key, 'read', 1)
end
return { '', { ARGV[3], r[1], r[2], r[3], r[4], r[5] } }
