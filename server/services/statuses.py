"""Metadata that sets the status and headers of HTTP answers, for `http_errors.lua`. gRPC callers ignore it."""

CREATED = (("x-http-status", "201"),)
NO_CONTENT = (("x-http-status", "204"),)
HAS_MORE = (("x-has-more", "true"),)
"""For lists that are bare arrays, which have no room for such a member."""
