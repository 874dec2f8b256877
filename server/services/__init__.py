"""The gRPC services, one file per noun: check, load, do, answer."""
