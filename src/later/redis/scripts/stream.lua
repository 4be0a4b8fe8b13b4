-- Which answers a stream has. ARGV: its name, the position after which, and how many.
local name, after, limit = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local all = call('HMGET', P .. 'all', 'seq', 'others')
local last = tonumber(all[1] or nil) or micros
local expired = tonumber(call('HGET', P .. 'sx', name) or all[2] or nil) or micros
local from = '-inf'
if after then
  from = '(' .. ARGV[4]
end
local found = call('ZRANGEBYSCORE', P .. 's:' .. name, from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local answers, reached = {}, last
for i = 1, #found, 2 do
  table.insert(answers, { int(found[i + 1]), found[i] })
end
if #answers == limit then
  reached = tonumber(answers[limit][1])
end
local gap = after and (after < expired or after > last)
return { '', { gap and 1 or 0, int(reached), answers } }
