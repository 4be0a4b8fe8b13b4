-- Removes a record. ARGV: its handle. Returns the state that it had.
begin()
local state, route = remove(ARGV[3], false)
if state then
  count(route, 'd' .. state, 1)
  tell('deleted', ARGV[3])
end
return finish_up(state or '')
