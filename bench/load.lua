-- Questions for wrk, and its figures as one line of JSON.
--
-- Arguments: path, token, name, parameters, mode, how many questions, first number. In the mode "pool" so many
-- different questions are asked in turn; in the mode "new" no question is ever asked twice, and the names of the
-- ApplicationSets are still so many.

local path, token, name, parameters, mode, questions, number
local pool = {}
local heads = {}

local function head(index)
    return string.format('{"applicationSetName":"%s-%06d","input":{"parameters":{%s', name, index, parameters)
end

function init(args)
    path, token, name, parameters, mode = args[1], args[2], args[3], args[4], args[5]
    questions, number = tonumber(args[6]), tonumber(args[7])
    local headers = {
        ["Authorization"] = "Bearer " .. token,
        ["Content-Type"] = "application/json",
        ["User-Agent"] = "argocd-applicationset",
        ["Accept-Encoding"] = "gzip",
    }
    for index = 0, questions - 1 do
        -- The number always has ten digits, so that the length of a new question is known.
        local request = wrk.format("POST", path, headers, head(index) .. '"n":"0000000000"}}}')
        pool[index] = request
        heads[index] = string.sub(request, 1, -15)
    end
end

function request()
    number = number + 1
    local index = number % questions
    if mode == "pool" then
        return pool[index]
    end
    return heads[index] .. string.format('%010d"}}}', number)
end

function done(summary, latency, requests)
    io.write(string.format(
        '\n{"requests":%d,"seconds":%f,"bytes":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"failed":%d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
        summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
