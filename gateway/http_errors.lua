-- Gives the server's answers their HTTP status and body.
--
-- The server says what it wants in metadata: x-http-status, and for an error x-http-error with the whole JSON body. An error
-- without them (the gRPC library's own, or a fault) gets the door's shape with a fixed text, so that none of its own leaves.
-- Also refuses URLs that do not decode to text, and what the transcoder does not read, naming the member (members.lua). Does
-- not run on native gRPC and gRPC-Web: their routes disable it.

local members = dofile("gateway/members.lua")
local bodies = dofile("gateway/error_bodies.lua")

local WHOLE = {body = "json_invalid", query = "query_invalid"}

-- Status and body of the refusal of an unreadable request: place (body or query), member ("": the whole),
-- error.
local function unread(door, place, path, wrong)
  local whole = path == ""
  local text = (whole and "the " .. place or path) .. " " .. wrong
  if door == "completions" then
    return "422", bodies.invalid(place, path, whole and text or wrong, whole and WHOLE[place] or "type_error")
  end
  return "400", bodies.error(door, "400", text, not whole and path or nil, not whole and "invalid_argument" or nil)
end

-- Each is replaced by a dot instead of removed, so that its neighbours do not join.
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
  if not string.find(escaped, "[%%\128-\255]") then return true end
  local rest = unescaped(escaped)
  for _, character in ipairs(CHARACTERS) do rest = string.gsub(rest, character, ".") end
  return string.find(rest, "[%z\128-\255]") == nil
end

-- The query with the names that the transcoder knows: it does not unescape them, and SDKs write a list as name[]=.
local function with_plain_names(query)
  if query == "" then return query end
  return (string.gsub(query, "([?&])([^=&]*)", function(mark, name)
    local plain = string.gsub(unescaped(name), "%[%d*%]$", "")
    return mark .. (string.find(plain, "^[%w_.]+$") and plain or name)
  end))
end

local function door_of(handle)
  return handle:streamInfo():routeName()
end

local function refuse(handle, place, path, wrong)
  local status, body = unread(door_of(handle), place, path, wrong)
  handle:respond({[":status"] = status}, body)
end

-- Checks what the transcoder accepts, or refuses without naming the member.
local function check_body(handle, verb, path)
  local body = handle:body()
  local text = body ~= nil and body:getBytes(0, body:length())
  if not text or not members.may_have_misplaced(text) then return end
  local request = members.request(verb, path, door_of(handle))
  if request == nil then return end
  local member, wrong = members.misplaced(request, text)
  if member ~= nil then refuse(handle, "body", member, wrong) end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local verb = headers:get(":method")
  local path, query = string.match(headers:get(":path"), "^([^?]*)(.*)$")
  if not is_text(path) then
    handle:respond({[":status"] = "404"}, bodies.error(door_of(handle), "404", "there is no such path"))
  elseif not is_text(query) then
    refuse(handle, "query", "", "is not UTF-8, or has a NUL")
  else
    local plain = with_plain_names(query)
    if plain ~= query then headers:replace(":path", path .. plain) end
    handle:streamInfo():dynamicMetadata():set("parley", "request", verb .. " " .. path)
    if verb == "HEAD" then headers:replace(":method", "GET") end  -- the server answers GET
    if verb == "POST" or verb == "PATCH" then check_body(handle, verb, path) end
  end
end

local function replace_body(handle, text)
  handle:body(true):setBytes(text)
end

-- Whether a text is the transcoder's form of a bare gRPC status, text of the server included.
local function is_bare_status(text)
  return string.find(text, '^{"code":%d') ~= nil
end

-- The verb and the path as they were when the request came.
local function request_of(handle)
  local known = handle:streamInfo():dynamicMetadata():get("parley")
  if known == nil then return "", "" end
  return string.match(known.request, "^(%S*) (.*)$")
end

-- Replaces the transcoder's message about an unreadable request by a body in the documented names.
local function explain(handle, place)
  local verb, at = request_of(handle)
  local door = door_of(handle)
  local request = members.request(verb == "HEAD" and "GET" or verb, at, door)
  local whole = handle:body(true)
  local path, wrong = "", "cannot be read"
  if request ~= nil then path, wrong = members.explained(request, whole:getBytes(0, whole:length())) end
  local _, body = unread(door, place, path, wrong)
  whole:setBytes(body)
end

-- Envoy would send the body, and the caller would read it as the next answer. In pieces, because a stream may
-- not end.
local function leave_out_body(handle)
  for piece in handle:bodyChunks() do piece:setBytes("") end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status, body = headers:get(":status"), headers:get("x-http-error")
  local failed = status >= "400"
  local wanted, place = headers:get("x-http-status"), headers:get("x-parley-unread")
  -- A call that fails after it has announced success has failed.
  if wanted ~= nil and not (failed and wanted < "400") then
    status = wanted
    headers:replace(":status", status)
  end
  if not failed and headers:get("content-type") == "text/event-stream" then
    headers:replace("cache-control", "no-cache")
    headers:replace("x-accel-buffering", "no")
  end
  if place ~= nil then
    headers:remove("x-parley-unread")
    headers:replace("content-type", "application/json")
    if door_of(handle) == "completions" then headers:replace(":status", "422") end
  end
  if request_of(handle) == "HEAD" then
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
  elseif place ~= nil then
    explain(handle, place)
  elseif failed then
    local whole = handle:body(true)
    if is_bare_status(whole:getBytes(0, whole:length())) then
      whole:setBytes(bodies.error(door_of(handle), status, bodies.title(status)))
    end
  end
end
