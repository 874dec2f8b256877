-- Faults of a request that the transcoder cannot read, in plain words and by the documented name of the member.
--
-- The transcoder names most members, by their names in the proto, and shows their types and pieces of the request. None of
-- its text is passed on: the names and types are those of generated/members.lua, the words are those below, and unknown
-- faults get one fixed sentence. A few faults it does not report, or accepts: the body is searched for those.

local members = {}

local GENERATED = dofile("generated/members.lua")

local ONE = {
  string = "a string", boolean = "true or false", number = "a number", object = "an object", array = "an array",
  int32 = "an integer between -2147483648 and 2147483647", uint32 = "an integer between 0 and 4294967295",
  int64 = "an integer between -9223372036854775808 and 9223372036854775807",
}
local MANY = {string = "strings", boolean = "booleans", number = "numbers", object = "objects"}

-- Beginnings of the transcoder's messages about malformed JSON, and their replacements.
local MALFORMED = {
  {"Unexpected end of string", "the JSON ends too early"},
  {"Unexpected token", "something stands where a JSON value is expected"},
  {"Expected a value", "something stands where a JSON value is expected"},
  {"Expected an object key", "something stands where the name of a member or } is expected"},
  {"Expected : between", "a member has no : between its name and its value"},
  {"Expected , or } after", "something stands where , or } is expected"},
  {"Expected , or ] after", "something stands where , or ] is expected"},
  {"Closing quote expected", "a string is not closed"},
  {"Invalid escape sequence", "a string has an escape that JSON does not have"},
  {"Missing low surrogate", "a string has one half of a surrogate pair"},
  {"Invalid low surrogate", "a string has one half of a surrogate pair"},
  {"Octal/hex numbers", "a number is written as JSON does not write it"},
  {"Unable to parse number", "a number is written as JSON does not write it"},
  {"Number exceeds the range", "a number is larger than a double holds, about 1.8e308"},
  {"Encountered non UTF%-8", "the text is not UTF-8"},
  {"Parsing terminated before end", "something follows the JSON value"},
  {"Message too deep", "it is nested too deeply: 30 levels of objects and arrays are the most"},
}

-- Returns the request message of a method and a path at a door; nil when its body is no JSON.
function members.request(verb, path, door)
  for _, request in ipairs(GENERATED.requests) do
    if request.verb == verb and (request.door == "agents") == (door == "agents") and string.find(path, request.path) then
      return request
    end
  end
end

-- Returns the member of a message by its name in the proto, or its documented one.
local function member_of(message, name)
  local known = GENERATED.messages[message] or {}
  if known[name] ~= nil then return known[name] end
  for _, member in pairs(known) do
    if member.name == name then return member end
  end
end

local function wanted(member, is_item)
  if member.many and not is_item then return "must be an array of " .. MANY[member.kind] end
  return "must be " .. (ONE[member.kind] or "another value")
end

-- A path of the transcoder with the documented names, the member that it leads to, and whether it leads to an item of it.
local function resolve(request, at)
  local path, message, member, is_item = "", request.message, nil, false
  for name, index in string.gmatch(at, "([%w_]+)([%[%]%d]*)") do
    if name == request.whole then return "", {kind = "object"}, false end
    local next_one = message and member_of(message, name)
    if next_one == nil then return path end
    path = (path == "" and "" or path .. ".") .. next_one.name .. index
    member, message, is_item = next_one, next_one.message, index ~= ""
  end
  return path, member, is_item, message
end

-- Returns the member of this name below a path.
local function resolve_below(request, at, name)
  local path, member, is_item, message = resolve(request, at)
  local below = message and member_of(message, name)
  if at == "" then below = member_of(request.message, name) end
  if below == nil then return path, member, is_item end
  return (path == "" and "" or path .. ".") .. below.name, below, false
end

-- Explains a message of the transcoder: the path of the member ("": the whole), and the error.
function members.explained(request, message)
  local at, name = string.match(message, "^([%w_.%[%]]*): invalid value oneof field .*Cannot set '([%w_]+)' for type oneof%s*$")
  if at ~= nil then return (resolve_below(request, at, name)), "is given twice" end
  at, name = string.match(message, "^([%w_.%[%]]*): invalid value Starting an object on a scalar field for type ([%w_]+)%s*$")
  if at == nil then at = string.match(message, "^([%w_.%[%]]*): invalid value .* for type [%w_./]+%s*$") end
  if at ~= nil then
    local path, member, is_item
    if name ~= nil then
      path, member, is_item = resolve_below(request, at, name)
    else
      path, member, is_item = resolve(request, at)
    end
    return path, member and wanted(member, is_item) or "has a member of another type than it takes"
  end
  at = string.match(message, "^([%w_.%[%]]*): Proto field is not repeating, cannot start list%.%s*$")
  if at ~= nil then
    if request.whole ~= nil then return "", "must be an object" end
    return (resolve(request, at)), "has an array where none may be"
  end
  at = string.match(message, "^([%w_.%[%]]*): Proto fields must have a name%.%s*$")
  if at ~= nil then return (resolve(request, at)), "has a member whose name is empty" end
  if string.find(message, "^: Root element must be a message") then return "", "must be an object" end
  name = string.match(message, "^The binding value .- of the field ([%w_.]+) is conflicting with the value")
  if name ~= nil then return (resolve(request, name)), "must be as in the path, or left out" end
  for _, one in ipairs(MALFORMED) do
    if string.find(message, "^" .. one[1]) then return "", "cannot be read: " .. one[2] end
  end
  return "", "cannot be read"
end

-- Faults that a body is searched for ----------------------------------------------------------------------------------

local byte, find, sub, max = string.byte, string.find, string.sub, math.max
local QUOTE, BACKSLASH, OPEN, CLOSE, LIST, LIST_END, COMMA, COLON, MINUS, SPACE = byte('"\\{}[],:- ', 1, -1)
local ZERO, EIGHT, NINE, SMALL_A, SMALL_D, SMALL_U, LARGE_A, LARGE_D = byte("089aduAD", 1, -1)
local MOST_DEPTH = 100  -- as the transcoder's
local MOST_VALUES = 50000  -- the server refuses requests with more
local MOST_MARKS = 100000  -- from here on the search, which goes over strings at once, costs less
local LONGEST_NAME = 64
local NOT_EXACT =
  "is an integer that a double does not hold exactly, as it does those to 9007199254740992 (2^53); send it as a string"
-- In schemas, where many programs write bounds of 64 bits: the nearest double bounds as well.
local SCHEMAS = {parameters = true, schema = true}
local BOUNDS = {minimum = true, maximum = true, exclusiveMinimum = true, exclusiveMaximum = true}
local NO_VALUE = "is no JSON value: NaN and Infinity are none"
local HALF = "has one half of a surrogate pair, which is no character"
local TOO_LARGE = "is a number larger than a double holds, about 1.8e308; send it as a string"

-- The names of members that are no array.
local SINGLE = {}
for _, known in pairs(GENERATED.messages) do
  for name, member in pairs(known) do
    if not member.many and member.kind ~= "any" and member.kind ~= "array" then
      SINGLE[name], SINGLE[member.name] = true, true
    end
  end
end

-- Returns which half of a surrogate pair the escape at this position is: "high", "low", or nil.
local function surrogate(body, at)
  if byte(body, at) ~= BACKSLASH or byte(body, at + 1) ~= SMALL_U then return nil end
  local third, fourth = byte(body, at + 2, at + 3)
  if fourth == nil or (third ~= SMALL_D and third ~= LARGE_D) then return nil end
  if fourth == EIGHT or fourth == NINE then return "high" end
  local letter = fourth >= SMALL_A and fourth - SMALL_A or fourth - LARGE_A
  return letter == 0 and "high" or letter == 1 and "high" or letter > 1 and letter < 6 and "low" or nil
end

local function slashes_before(body, at)
  local count = 0
  while byte(body, at - 1 - count) == BACKSLASH do count = count + 1 end
  return count
end

-- Whether JSON text has, between two positions, an escaped surrogate without its other half.
local function has_half(body, at, stop)
  at = find(body, "\\u", at, true)
  while at ~= nil and at < stop do
    local kind = surrogate(body, at)
    if kind == "high" and surrogate(body, at + 6) == "low" then
      at = at + 12
    elseif kind ~= nil and slashes_before(body, at) % 2 == 0 then
      return true
    else
      at = at + 2
    end
    at = find(body, "\\u", at, true)
  end
  return false
end

local function after_space(body, at)
  local here = byte(body, at)
  while here == SPACE or here == 10 or here == 13 or here == 9 do
    at = at + 1
    here = byte(body, at)
  end
  return at
end

-- Whether the number at this position is so long, or so large, that it must be checked.
local function is_long_number(body, at)
  at = after_space(body, at)
  local first = byte(body, at)
  if first == nil or first > NINE or (first < ZERO and first ~= MINUS) then return false end
  local _, last = find(body, "^%-?[%d.]+", at)
  return last ~= nil and (last - at >= 15 or find(body, "^[eE]%+?%d%d%d", last + 1) ~= nil)
end

-- Returns the name of the member whose value begins here, if there is one.
local function name_before(body, at)
  local before = byte(body, at - 1)
  if before ~= COLON and (before == nil or before > SPACE) then return nil end
  return string.match(sub(body, max(1, at - LONGEST_NAME), at), '"([%w_]+)"%s*:%s*%[$')
end

-- Whether a body is worth the search. Few are, so this is all that it costs most: it goes from mark to mark.
function members.may_have_misplaced(body)
  if find(body, "^%s*%[") or find(body, "NaN", 1, true) or find(body, "Infinity", 1, true) or has_half(body, 1, #body) then
    return true
  end
  local looked_at = 0
  for _, mark in ipairs({":", ",", "["}) do
    local at = find(body, mark, 1, true)
    while at ~= nil do
      looked_at = looked_at + 1
      if looked_at > MOST_MARKS or is_long_number(body, at + 1) or mark == "[" and SINGLE[name_before(body, at)] then
        return true
      end
      at = find(body, mark, at + 1, true)
    end
  end
  return false
end

-- Returns the position after a string that begins at `at`.
local function after_string(body, at)
  local stop = find(body, '"', at + 1, true)
  while stop ~= nil do
    if slashes_before(body, stop) % 2 == 0 then return stop + 1 end
    stop = find(body, '"', stop + 1, true)
  end
end

local function is_exact(literal)
  return #literal < 16 or find(literal, "[.eE]") ~= nil
    or string.format("%.0f", tonumber(literal)) == literal
end

-- Returns the path and the fault of the first such member of a body; nil when there is none, or when the body is not JSON,
-- which the transcoder reports. Called only for bodies that may have one.
function members.misplaced(request, body)
  local steps, values, told, halves = {}, 0, nil, has_half(body, 1, #body)
  local value

  local function path()
    local text = ""
    for _, step in ipairs(steps) do
      if type(step) == "number" then
        text = text .. "[" .. step .. "]"
      elseif #step <= LONGEST_NAME and find(step, "^[%w_$-]+$") then
        text = (text == "" and "" or text .. ".") .. step
      else  -- a name that is not ours to repeat
        return text
      end
    end
    return text
  end

  local function is_bound()
    if not BOUNDS[steps[#steps]] then return false end
    for _, step in ipairs(steps) do
      if SCHEMAS[step] then return true end
    end
    return false
  end

  local function tell(wrong)
    told = {path(), wrong}
    return nil
  end

  local function each(at, close, one)
    at = after_space(body, at + 1)
    if byte(body, at) == close then return at + 1 end
    while true do
      at = one(at)
      if at == nil then return nil end
      at = after_space(body, at)
      local mark = byte(body, at)
      if mark == close then return at + 1 end
      if mark ~= COMMA then return nil end
      at = after_space(body, at + 1)
    end
  end

  -- Of free JSON the members have no type; of an unknown member nothing is kept.
  local function object(at, message, is_kept, depth)
    return each(at, CLOSE, function(here)
      if byte(body, here) ~= QUOTE then return nil end
      local stop = after_string(body, here)
      if stop == nil then return nil end
      local name = sub(body, here + 1, stop - 2)
      here = after_space(body, stop)
      if byte(body, here) ~= COLON then return nil end
      local member = message and member_of(message, name)
      steps[#steps + 1] = member and member.name or name
      here = value(after_space(body, here + 1), member, is_kept or member and member.free, false, depth)
      steps[#steps] = nil
      return here
    end)
  end

  local function array(at, member, is_kept, depth)
    local index = -1
    return each(at, LIST_END, function(here)
      index = index + 1
      steps[#steps + 1] = index
      here = value(here, member, is_kept, true, depth)
      steps[#steps] = nil
      return here
    end)
  end

  function value(at, member, is_kept, is_item, depth)
    values = values + 1
    if depth > MOST_DEPTH or values > MOST_VALUES then return nil end
    local mark = byte(body, at)
    if mark == QUOTE then
      local stop = after_string(body, at)
      if halves and stop ~= nil and has_half(body, at, stop) then return tell(HALF) end
      return stop
    elseif mark == OPEN then
      return object(at, member and member.message, is_kept, depth + 1)
    elseif mark == LIST then
      if member and not member.many and member.kind ~= "any" and member.kind ~= "array" then
        return tell(wanted(member, is_item))
      end
      local inner = member and member.many and member or nil
      return array(at, inner, is_kept, depth + 1)
    end
    local _, last, literal = find(body, "^(%-?%d[%d.eE+-]*)", at)
    if literal == nil then
      local _, stop, word = find(body, "^%-?(%a+)", at)
      if word == "NaN" or word == "Infinity" then return tell(NO_VALUE) end
      return stop and stop + 1
    end
    local number = tonumber(literal)
    if number == nil then return nil end
    if number == math.huge or number == -math.huge then return tell(TOO_LARGE) end
    if is_kept and (member == nil or member.kind == "any") and not is_exact(literal) and not is_bound() then
      return tell(NOT_EXACT)
    end
    return last + 1
  end

  local start = after_space(body, 1)
  local whole = {kind = "object", message = request.message}
  if request.whole ~= nil then whole = {kind = "object", free = true} end
  value(start, whole, whole.free, false, 1)
  if told ~= nil then return told[1], told[2] end
end

return members
