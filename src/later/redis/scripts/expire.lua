-- Removes finished records whose time is over. ARGV: how many at most. Returns how many, and
-- when the next one expires.
begin()
local due = call('ZRANGEBYSCORE', P .. 'x', '-inf', int(now), 'LIMIT', 0, ARGV[3])
for _, handle in ipairs(due) do
  local state, route, read = remove(handle, true)
  if state then
    count(route, read and 'read' or 'unread', 1)
  end
end
return finish_up({ #due, first(P .. 'x')[2] or '' })
