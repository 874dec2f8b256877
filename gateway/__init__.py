"""The HTTP edge: Envoy's launcher, its Lua filter and the checker of its configuration. Never imports the
server."""
