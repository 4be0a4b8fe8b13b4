-- Everything that is known of all routes, for whoever connects.
begin()
local routes = call('SMEMBERS', P .. 'routes')
return { message(routes), '' }
