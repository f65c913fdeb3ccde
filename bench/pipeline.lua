-- Sixteen (or the first argument) requests written at once; wrk counts every answer.
init = function(args)
  local depth = tonumber(args[1]) or 16
  local one = wrk.format("GET", wrk.path)
  local requests = {}
  for i = 1, depth do
    requests[i] = one
  end
  batch = table.concat(requests)
end

request = function()
  return batch
end
