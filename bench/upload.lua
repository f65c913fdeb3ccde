-- POST with a body of as many bytes as the first argument says. Without a function `request` wrk formats it once and
-- writes every request from that memory.
init = function(args)
  wrk.method = "POST"
  wrk.body = string.rep("x", tonumber(args[1]))
  wrk.headers["Content-Type"] = "application/octet-stream"
end
