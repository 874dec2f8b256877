-- The body of an error in the shape of a door. The shapes, titles and kinds are those of the server (generated/error_shapes.lua,
-- from server/wire/error_shapes.py). Texts are put in as they are: they must need no escape in JSON.

local TABLE = dofile("generated/error_shapes.lua")

local bodies = {}

local function quoted(text) return '"' .. text .. '"' end

local function kind_of(status)
  return TABLE.kinds[status] or (status < "500" and TABLE.callers_kind or TABLE.servers_kind)
end

function bodies.title(status) return TABLE.titles[status] or TABLE.no_title end

-- `field`: the member that is wrong, if there is one. `code`: the word for the error, if it has one.
function bodies.error(door, status, message, field, code)
  return (string.gsub(TABLE.shapes[door] or TABLE.shapes.assistants, "<(%l+)>", {
    message = quoted(message), messages = field and "[" .. quoted(message) .. "]" or quoted(message),
    title = quoted(bodies.title(status)), status = status, kind = quoted(kind_of(status)),
    param = field and quoted(field) or "null", code = code and quoted(code) or "null",
  }))
end

-- `messages[0].role` in FastAPI's form: ["body","messages",0,"role"].
local function location(place, path)
  local steps = {quoted(place)}
  for name, indexes in string.gmatch(path, "([^.%[]+)([%[%]%d]*)") do
    steps[#steps + 1] = quoted(name)
    for index in string.gmatch(indexes, "%d+") do steps[#steps + 1] = index end
  end
  return "[" .. table.concat(steps, ",") .. "]"
end

-- The completions door's body for an invalid request: place (body, query), member ("": the whole), error and
-- rule.
function bodies.invalid(place, path, wrong, rule)
  return (string.gsub(TABLE.invalid, "<(%l+)>", {place = location(place, path), wrong = quoted(wrong), rule = quoted(rule)}))
end

return bodies
