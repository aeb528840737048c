"""What a server counts, in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "zoo_requests", "Requests that were answered or refused.",
            ["model", "protocol", "code"], registry=own,
        )  # fmt: skip
        self.seconds = Histogram(
            "zoo_request_seconds", "Time from a request to its answer.", ["model", "protocol"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.batches = Histogram(
            "zoo_batch_examples", "Examples that were answered together.", ["model"],
            buckets=_SIZES, registry=own,
        )  # fmt: skip
        self.waiting = Gauge("zoo_waiting", "Requests that wait.", ["model"], registry=own)
        self.version = Gauge("zoo_version", "Version that answers.", ["model"], registry=own)

    def text(self) -> bytes:
        """Return all of it."""
        return generate_latest(self.registry)
