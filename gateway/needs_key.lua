-- Refuses a call that shows no key at all, as the server would, and before a large body is taken in, one whose key the server
-- does not know. Does not run where no key is needed: those routes disable it.

local bodies = dofile("gateway/error_bodies.lua")

local NO_KEY = "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"

-- Bytes. For a smaller body the question costs Envoy more than the body.
local LARGE = 65536
-- Any method that needs a key. Without a message it does nothing: the server says INVALID_ARGUMENT, once the key is good.
local METHOD = "/parley.v1.ModelService/ListModels"
local UNAUTHENTICATED = "16"

local function refuse(handle)
  handle:respond({[":status"] = "401"}, bodies.error(handle:streamInfo():routeName(), "401", NO_KEY, nil, "unauthenticated"))
end

local function may_be_large(headers)
  local length = headers:get("content-length")
  if length ~= nil then
    return (tonumber(length) or LARGE + 1) > LARGE
  end
  local method = headers:get(":method")
  return method == "POST" or method == "PATCH" or method == "PUT"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local authorization, key = headers:get("authorization"), headers:get("x-api-key") or headers:get("api-key")
  if authorization == nil and key == nil then
    refuse(handle)
  elseif may_be_large(headers) then
    local lookup = {[":method"] = "POST", [":path"] = METHOD, [":authority"] = "parley", ["content-type"] = "application/grpc",
                    ["te"] = "trailers", ["authorization"] = authorization, ["x-api-key"] = key}
    local answer = handle:httpCall("parley", lookup, "", 5000)
    if answer["grpc-status"] == UNAUTHENTICATED then
      refuse(handle)
    end
  end
end
