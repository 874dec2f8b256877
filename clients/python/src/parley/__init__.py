"""The gRPC stubs of Parley: `from parley.v1 import chat_service_pb2_grpc`."""
