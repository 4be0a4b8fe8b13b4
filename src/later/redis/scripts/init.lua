-- Everything that is known of all routes, for whoever connects: once it is seen that all that
-- scripts do is allowed.
begin()
local hash, set, sorted, text = P .. 'try:h', P .. 'try:s', P .. 'try:z', P .. 'try:t'
local tried = {
  { 'HSET', hash, 'a', 1 }, { 'HINCRBY', hash, 'a', 1 }, { 'HGET', hash, 'a' },
  { 'HMGET', hash, 'a' }, { 'HGETALL', hash }, { 'HDEL', hash, 'a' }, { 'SADD', set, 'a' },
  { 'ZADD', sorted, 1, 'a' }, { 'ZINCRBY', sorted, 1, 'a' }, { 'ZCARD', sorted },
  { 'ZRANGE', sorted, 0, 0 }, { 'ZREVRANGE', sorted, 0, 0 },
  { 'ZRANGEBYSCORE', sorted, 0, 1 }, { 'ZPOPMIN', sorted }, { 'ZREM', sorted, 'a' },
  { 'SET', text, 'a' }, { 'GET', text }, { 'DEL', hash, set, sorted, text },
  { 'PUBLISH', P .. 'try', '' },
}
for _, it in ipairs(tried) do
  local done = redis.pcall(unpack(it))
  if type(done) == 'table' and done.err then
    return { err = done.err .. ' (' .. it[1] .. ')' }
  end
end
return { message(call('SMEMBERS', P .. 'routes')), '' }
