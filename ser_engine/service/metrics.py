"""Figures of a running service for Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as MEDIA_TYPE

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

__all__ = ["MEDIA_TYPE", "Metrics"]


class Metrics:
    """What the service counts; labels have few values: never a name of a file or a key."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Histogram(
            "ser_request_seconds",
            "Seconds of requests, by their address and status",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self.errors = Counter("ser_errors", "Errors by kind", ("kind",), registry=registry)
        self.waited = Histogram(
            "ser_queue_seconds", "Seconds that recordings waited for their turn", buckets=SECONDS, registry=registry
        )
        self.analyzed = Histogram(
            "ser_analysis_seconds", "Seconds of analyses, without waiting", buckets=SECONDS, registry=registry
        )
        self.audio = Counter("ser_audio_seconds", "Seconds of audio, by interface", ("interface",), registry=registry)
        self.cancelled = Counter("ser_cancelled", "Analyses ended because the client had left", registry=registry)
        self.skipped = Counter("ser_live_skipped", "Windows of live sessions skipped for lateness", registry=registry)
        self._queue = Gauge("ser_queue_length", "Recordings that wait for their turn", registry=registry)
        self._running = Gauge("ser_analyses_running", "Recordings that are being analyzed", registry=registry)
        self.sessions = Gauge("ser_live_sessions", "Live sessions", registry=registry)
        self.uploads = Gauge("ser_uploads", "Recordings on their way in", registry=registry)

    def watch(self, waiting: Callable[[], float], running: Callable[[], float]) -> None:
        """Read the length of the queue and the number of analyses from these functions."""
        self._queue.set_function(waiting)
        self._running.set_function(running)

    def text(self) -> bytes:
        """Return all figures in Prometheus's format."""
        return generate_latest(self.registry)
