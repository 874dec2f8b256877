"""HTTP statuses of success that are not 200, as metadata for `http_errors.lua`. gRPC callers ignore them."""

CREATED = (("x-http-status", "201"),)
NO_CONTENT = (("x-http-status", "204"),)
