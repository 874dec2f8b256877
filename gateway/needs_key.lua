-- Refuses a call that shows no key at all, as the server would. Does not know which keys are good, and does not run where no
-- key is needed: those routes disable it.

local NO_KEY = "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"
local OPENAI = '{"message":"' .. NO_KEY .. '","type":"authentication_error","param":null,"code":"unauthenticated"}'
local BODIES = {
  agents = '{"error":"Unauthorized","message":"' .. NO_KEY .. '"}',
  assistants = '{"message":"' .. NO_KEY .. '","error":"Unauthorized","statusCode":401}',
  completions = '{"detail":"' .. NO_KEY .. '","error":' .. OPENAI .. '}',
  openai = '{"error":' .. OPENAI .. '}',
}

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get("authorization") == nil and headers:get("x-api-key") == nil then
    handle:respond({[":status"] = "401"}, BODIES[handle:streamInfo():routeName()])
  end
end
