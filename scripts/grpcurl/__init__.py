"""The page `docs/grpcurl.md`: a line of grpcurl for every method, made of the protos and of `examples.py`.

`page(image)` is all there is to call; `scripts/generate` does, and refuses a method without an example. Sends
nothing: `tests/test_grpcurl.py` runs the lines.
"""

import json
import re
import textwrap
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from openapi.source import PACKAGE, Method, Source

from .examples import EXAMPLES, NEEDS, Example

VERSION = "v1.9.4"
"""The version of grpcurl that the examples are tested with."""
MODULE = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
_SERVER = "127.0.0.1:50051"
_WIDTH = 130
_HTTP_BODY = ".google.api.HttpBody"
_BEGIN = f"""<!-- Made by scripts/generate of proto/ and scripts/grpcurl/. Do not edit. -->

# grpcurl

A line for every method, to paste into a shell while `scripts/serve` runs. [grpcurl](https://github.com/fullstorydev/grpcurl)
needs no protos: the server has reflection (`grpc.reflection.v1` and `v1alpha`). With Go it is installed by
`go install {MODULE}@{VERSION}`. The lines go to the server's own port; Envoy's
(`127.0.0.1:8080`) takes the same ones.

First, in the project's folder, the key, the assistant, and a function that takes a member out of an answer:

```sh
key() {{ .venv/bin/python -c "import json, sys; print(json.load(open('data/dev-keys.json'))[sys.argv[1]])" "$1"; }}
API=$(key api) AGENT=$(key assistantId) ORG=$(key org)
member() {{ .venv/bin/python -c "import json, sys; print(json.load(sys.stdin)[sys.argv[1]])" "$1"; }}
```

## What there is

Reflection and health take no key. `Check` of an unknown name is NOT_FOUND; `Watch` works at the server's own port alone.

```sh
grpcurl -plaintext {_SERVER} list
# → parley.v1.ChatService
grpcurl -plaintext {_SERVER} list parley.v1.ChatService
# → parley.v1.ChatService.StreamChat
grpcurl -plaintext {_SERVER} describe parley.v1.ChatService.CreateChat
# → rpc CreateChat ( .parley.v1.CreateChatRequest ) returns ( .parley.v1.Chat )
grpcurl -plaintext -msg-template {_SERVER} describe parley.v1.GetChatRequest
# → Message template:
grpcurl -plaintext -d '{{"service": "parley.v1.ChatService"}}' {_SERVER} grpc.health.v1.Health/Check
# → "status": "SERVING"
grpcurl -plaintext {_SERVER} grpc.health.v1.Health/List
# → "parley.v1.UsageService": {{
```

## Key, metadata, deadline

The key is metadata, `authorization: Bearer KEY` or `x-api-key: KEY`, and so is everything that is a header over HTTP.
`-v` shows what comes back: the id of the request, and where its limits stand. `-max-time` is a deadline.

```sh
grpcurl -v -plaintext -max-time 30 -H "authorization: Bearer $API" -H "idempotency-key: once-$AGENT" \\
  -d '{{"assistantId": "'$AGENT'", "input": "Hello"}}' {_SERVER} parley.v1.ChatService/CreateChat
# → x-request-id:
# → x-ratelimit-remaining-requests:
```

## Streams

A stream is printed message by message. One that was cut is read on from the event after the last one that came:

```sh
CHAT=$(grpcurl -plaintext -H "authorization: Bearer $API" -d '{{"assistantId": "'$AGENT'", "input": "Hello"}}' \\
  {_SERVER} parley.v1.ChatService/CreateChat | member id)
grpcurl -plaintext -H "authorization: Bearer $API" -d '{{"id": "'$CHAT'", "after": 1}}' \\
  {_SERVER} parley.v1.ChatService/WatchChat
# → "completed": {{
```

grpcurl prints a number of type `double` that is a million or more with an exponent: `time`, in milliseconds, as
`1.796088251409e+12`. It is the same number that HTTP callers read as `1796088251409`.

## Errors

The exit code is 64 and the number of the status. The details are printed: `ErrorInfo` has the reason, `BadRequest` each
field.

```sh
grpcurl -plaintext -H "authorization: Bearer $API" -d '{{"assistantId": "'$AGENT'"}}' \\
  {_SERVER} parley.v1.ChatService/CreateChat 2>&1 || echo "exit code $?"
# → Code: InvalidArgument
# → "field": "input",
# → exit code 67
grpcurl -plaintext -d '{{}}' {_SERVER} parley.v1.ChatService/ListChats 2>&1 || echo "exit code $?"
# → Code: Unauthenticated
# → exit code 80
```

"""
_TWINS = (
    "Answered as an `HttpBody`, the bytes that HTTP callers get, of which `| member data | base64 -d` shows the text: `{}`. "
    "Other gRPC callers take the typed methods."
)


def page(image: bytes) -> str:
    """The page, of a protoc image with source info. Raises ValueError for an example that fits no method, and
    for a method without one."""
    source = Source(image)
    methods = {service: _methods_of(source, service) for service in EXAMPLES}
    missing = {method.service for method in source.methods} - methods.keys()
    if missing:
        raise ValueError(f"scripts/grpcurl/examples.py has no example for {', '.join(sorted(missing))}")
    _check_bodies(image, source)
    sections = [_section(source, service, of_service) for service, of_service in methods.items()]
    return _BEGIN + "\n".join(sections)


def _methods_of(source: Source, service: str) -> dict[str, Method]:
    found = {method.name: method for method in source.methods if method.service == service}
    if found.keys() != EXAMPLES[service].keys():
        names = ", ".join(sorted(found.keys() ^ EXAMPLES[service].keys()))
        raise ValueError(f"scripts/grpcurl/examples.py and {service} do not have the same methods: {names}")
    return found


def _check_bodies(image: bytes, source: Source) -> None:
    """Each body is its method's request, by the documented names of members."""
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(image).file:
        pool.Add(file)
    for method in source.methods:
        body = EXAMPLES[method.service][method.name].body
        message = GetMessageClass(pool.FindMessageTypeByName(method.proto.input_type[1:]))()
        printed = json_format.MessageToDict(json_format.ParseDict(body, message))
        if printed != body:
            raise ValueError(
                f"the example of {method.service}/{method.name} is {body}, but reads as {printed}"
            )


def _section(source: Source, service: str, methods: dict[str, Method]) -> str:
    """Return the section of a service: its description, and a block of commands that can be run as it is."""
    examples = EXAMPLES[service]
    lines = [line for name, example in examples.items() for line in _lines(methods[name], example)]
    if service in NEEDS:
        other, name = NEEDS[service]
        needed = next(method for method in source.methods if (method.service, method.name) == (other, name))
        lines = _lines(needed, EXAMPLES[other][name]) + lines
    twins = [name for name in examples if methods[name].proto.output_type == _HTTP_BODY]
    about = textwrap.fill(_first_sentence(source.comments[service]), _WIDTH)
    has_both = 0 < len(twins) < len(examples)
    note = textwrap.fill(_TWINS.format("`, `".join(twins)), _WIDTH) + "\n\n" if has_both else ""
    return f"## {service}\n\n{about}\n\n{note}```sh\n" + "\n".join(lines) + "\n```\n"


def _lines(method: Method, example: Example) -> list[str]:
    """Return the lines of an example: the method's purpose, its call, and a part of the answer."""
    about = f"# {method.name}: {example.about or _first_sentence(method.comment)}"
    data = "-d @ " if example.reads_answer else _data(example.body)
    call = _wrapped(f"grpcurl -plaintext {_key(method)}{data}", f"{_SERVER} {_name(method)}")
    if example.is_read:
        return [about, f"{call} |"]
    if example.persists:
        unpacked = " | member data | base64 -d" if method.proto.output_type == _HTTP_BODY else ""
        return [about, f"{example.persists}=$({call}{unpacked} | member {example.member})"]
    if example.code:
        code = f"exit code {64 + example.code}"
        return [about, f'{call} 2>&1 || echo "exit code $?"', f"# → {example.prints}", f"# → {code}"]
    return [about, call, f"# → {example.prints}"]


def _wrapped(options: str, target: str) -> str:
    line = options + target
    return line if len(line) <= _WIDTH else f"{options}\\\n  {target}"


def _name(method: Method) -> str:
    return f"{PACKAGE}.{method.service}/{method.name}"


def _key(method: Method) -> str:
    return "" if method.access == "ACCESS_NO_KEY" else '-H "authorization: Bearer $API" '


def _data(body: dict[str, Any]) -> str:
    """The body between single quotes, out of which variables stand."""
    if not body:
        return ""
    return "-d '" + re.sub(r"\$([A-Z_]+)", r"'$\1'", json.dumps(body)) + "' "


def _first_sentence(comment: str) -> str:
    return re.split(r"(?<=\.)\s", " ".join(comment.split()), maxsplit=1)[0]
