"""WebSocket connections: a second way, beside gRPC, to call a method that takes many requests."""
