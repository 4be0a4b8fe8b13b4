-- The load, for wrk: jobs with ids of their own, made before the clock starts.
-- Arguments: the bytes of a job's body, how many different jobs, the path, the
-- longest pause of a caller between two jobs in milliseconds, the job with #n for its
-- number and #x for its bytes, and what is preferred, or nothing.

local jobs = {}
local last = 0
local threads = {}
local longest_pause = 0

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local bytes, count, path = tonumber(args[1]), tonumber(args[2]), args[3]
   local headers = { ["Content-Type"] = "application/json" }
   if args[6] then headers["Prefer"] = args[6] end
   local body = string.rep("x", bytes)
   for i = 1, count do
      local job = args[5]:gsub("#n", i):gsub("#x", body)
      jobs[i] = wrk.format("POST", path, headers, job)
   end
   longest_pause = tonumber(args[4])
   if longest_pause > 0 then
      delay = function() return math.random(0, longest_pause) end
      -- How long each job was queued, in tenths of a millisecond.
      waits = {}
      response = function(_, headers)
         local timing = headers["server-timing"]
         local wait = timing and timing:match("queue;dur=([%d.]+)")
         if not wait then return end
         local tenths = math.floor(tonumber(wait) * 10)
         waits[tenths] = (waits[tenths] or 0) + 1
      end
   end
end

function request()
   last = last % #jobs + 1
   return jobs[last]
end

-- The 99th percentile of the waits, in microseconds, rounded up.
local function p99(waits)
   local tenths, count = {}, 0
   for wait, times in pairs(waits) do
      table.insert(tenths, wait)
      count = count + times
   end
   table.sort(tenths)
   local seen = 0
   for _, wait in ipairs(tenths) do
      seen = seen + waits[wait]
      if seen >= count * 0.99 then
         return (wait + 1) * 100
      end
   end
   return 0
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
   local queued = 0
   for _, thread in ipairs(threads) do
      queued = math.max(queued, p99(thread:get("waits") or {}))
   end
   io.write(string.format("result requests=%d us=%d p50=%d p99=%d failed=%d queued=%d\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      failed, queued))
end
