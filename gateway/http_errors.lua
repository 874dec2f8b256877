-- Gives the server's answers their HTTP status and body.
--
-- The server says what it wants in metadata: x-http-status, and for an error x-http-error with the whole JSON body. An error
-- without them (the gRPC library's own, or a fault) gets the door's shape with a fixed text, so that none of its own leaves.
-- Also refuses URLs that do not decode to text. Does not run on native gRPC and gRPC-Web: their routes disable it.

local REASONS = {
  ["400"] = "Bad Request", ["401"] = "Unauthorized", ["403"] = "Forbidden", ["404"] = "Not Found", ["409"] = "Conflict",
  ["429"] = "Too Many Requests", ["499"] = "Client Closed Request", ["500"] = "Internal Server Error",
  ["501"] = "Not Implemented", ["502"] = "Bad Gateway", ["503"] = "Service Unavailable", ["504"] = "Gateway Timeout",
}
local TYPES = {
  ["401"] = "authentication_error", ["403"] = "permission_error", ["404"] = "not_found_error",
  ["409"] = "conflict_error", ["429"] = "rate_limit_error",
}

local function openai_error(status, reason)
  local kind = TYPES[status] or (status >= "500" and "server_error" or "invalid_request_error")
  return string.format('{"message":"%s","type":"%s","param":null,"code":null}', reason, kind)
end

local SHAPES = {
  agents = function(status, reason) return string.format('{"error":"%s","message":"%s"}', reason, reason) end,
  assistants = function(status, reason)
    return string.format('{"message":"%s","error":"%s","statusCode":%s}', reason, reason, status)
  end,
  completions = function(status, reason)
    return string.format('{"detail":"%s","error":%s}', reason, openai_error(status, reason))
  end,
  openai = function(status, reason) return string.format('{"error":%s}', openai_error(status, reason)) end,
}

-- Each replaced by a dot, not taken out: what stands around a character must not join to another one.
local CHARACTERS = {
  "[\194-\223][\128-\191]",
  "\224[\160-\191][\128-\191]", "[\225-\236\238\239][\128-\191][\128-\191]", "\237[\128-\159][\128-\191]",
  "\240[\144-\191][\128-\191][\128-\191]", "[\241-\243][\128-\191][\128-\191][\128-\191]",
  "\244[\128-\143][\128-\191][\128-\191]",
}

local function unescaped(text)
  return (string.gsub(text, "%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function is_text(escaped)
  local rest = unescaped(escaped)
  for _, character in ipairs(CHARACTERS) do rest = string.gsub(rest, character, ".") end
  return string.find(rest, "[%z\128-\255]") == nil
end

-- The query with the names that the transcoder knows: it does not unescape them, and SDKs write a list as name[]=.
local function with_plain_names(query)
  return (string.gsub(query, "([?&])([^=&]*)", function(mark, name)
    local plain = string.gsub(unescaped(name), "%[%d*%]$", "")
    return mark .. (string.find(plain, "^[%w_.]+$") and plain or name)
  end))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path, query = string.match(headers:get(":path"), "^([^?]*)(.*)$")
  if not is_text(path) then
    handle:respond({[":status"] = "404"}, "there is no such path")
  elseif not is_text(query) then
    handle:respond({[":status"] = "400"}, "the query is not UTF-8, or has a NUL")
  else
    local plain = with_plain_names(query)
    if plain ~= query then headers:replace(":path", path .. plain) end
    if headers:get(":method") == "HEAD" then  -- the server answers GET
      headers:replace(":method", "GET")
      handle:streamInfo():dynamicMetadata():set("parley", "is_head", true)
    end
  end
end

local function replace_body(handle, text)
  handle:body(true):setBytes(text)
end

-- What the transcoder makes of a bare gRPC status, text of the server included.
local function is_bare_status(text)
  return string.find(text, '^{"code":%d') ~= nil
end

local WANTED = {BOOL = "true or false", DOUBLE = "a number", FLOAT = "a number"}

-- The transcoder's own words about a query are those of protobuf.
local function in_plain_words(text)
  text = string.gsub(text, '([%w_.]+): invalid value \\?".-" for type TYPE_(%u+)%d*\\?n?', function(name, kind)
    return name .. " must be " .. (WANTED[kind] or "an integer")
  end)
  return (string.gsub(text, ": invalid value oneof field '[%w_]+' is already set%. Cannot set '([%w_]+)' for type oneof",
                      "%1 is given twice"))
end

local function is_head(handle)
  local told = handle:streamInfo():dynamicMetadata():get("parley")
  return told ~= nil and told["is_head"]
end

-- Envoy would send it, and the caller take it for the next answer. Piece by piece: a stream may have no end.
local function leave_out_body(handle)
  for piece in handle:bodyChunks() do piece:setBytes("") end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status, body = headers:get(":status"), headers:get("x-http-error")
  local failed = status >= "400"
  local wanted = headers:get("x-http-status")
  -- A call that fails after it has announced a success has failed.
  if wanted ~= nil and not (failed and wanted < "400") then
    status = wanted
    headers:replace(":status", status)
  end
  if not failed and headers:get("content-type") == "text/event-stream" then
    headers:replace("cache-control", "no-cache")
    headers:replace("x-accel-buffering", "no")
  end
  if is_head(handle) then
    if body ~= nil then headers:replace("content-type", "application/json") end
    headers:remove("content-length")  -- that of what the transcoder made
    leave_out_body(handle)
  elseif status == "204" then
    headers:remove("content-type")
    replace_body(handle, "")
    handle:headers():remove("content-length")  -- asked for again: body() yields, and what was got before it is dead
  elseif body ~= nil then
    headers:replace("content-type", "application/json")
    replace_body(handle, body)
  elseif failed then
    local whole = handle:body(true)
    local text = whole:getBytes(0, whole:length())
    local plain = in_plain_words(text)
    if is_bare_status(text) then
      local shape = SHAPES[handle:streamInfo():routeName()] or SHAPES.assistants
      whole:setBytes(shape(status, REASONS[status] or "Error"))
    elseif plain ~= text then
      whole:setBytes(plain)
    end
  end
end
