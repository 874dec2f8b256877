"""What of Envoy's configuration makes its spans: a cluster for the collector, and the tracer of the edge."""

from typing import Any
from urllib.parse import urlsplit

_TYPE = "type.googleapis.com/envoy."
_PORTS = {"http": 80, "https": 443}
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
CLUSTER = "otlp"


def add_tracing(bootstrap: dict[str, Any], endpoint: str, ratio: float) -> None:
    """Have Envoy send a span of every request to the collector at `endpoint`, over gRPC; of those that bring no
    trace with them it records `ratio`."""
    url = urlsplit(endpoint)
    address = {"address": url.hostname, "port_value": url.port or _PORTS[url.scheme]}
    resources = bootstrap["static_resources"]
    cluster: dict[str, Any] = {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    if url.scheme == "https":
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": url.hostname,
                "auto_sni_san_validation": True,
                "common_tls_context": {"validation_context": {"trusted_ca": {"filename": _AUTHORITIES}}},
            },
        }
    resources["clusters"].append(cluster)
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["tracing"] = {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": f"{_TYPE}config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}, "timeout": "2s"},
                "service_name": "parley-edge",
            },
        },
        "random_sampling": {"value": ratio * 100},
        # a query may hold what is nobody's business, and Envoy cannot leave it out alone
        "max_path_tag_length": 0,
    }
