"""Metadata that sets the status and headers of HTTP answers, for `http_errors.lua`. gRPC callers ignore it."""

CREATED = (("x-http-status", "201"),)
NO_CONTENT = (("x-http-status", "204"),)
HAS_MORE = (("x-has-more", "true"),)
"""Of a list that is a bare array: it has room for no member that says so."""
