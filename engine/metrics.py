"""What the engine tells Prometheus about itself.

Counting is a few microseconds in memory. No label has values that a client could make up: routes
are templates, statuses are classes, problems are their types. With several workers each counts in
files of its own in one folder, and whoever is asked adds them up.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
"""The route of whatever asks for a path that there is not."""
SECONDS = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2,
    5, 10, 20,
)  # fmt: skip
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
Refresh = Callable[["Metrics"], None]


class Metrics:
    """One process's counters. `folder`: that of all workers; empty where there is only this one."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        if folder:
            os.environ[FOLDER_VARIABLE] = folder
            # Otherwise decided by the environment when the package was imported.
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._refresh: Refresh = _nothing
        self.requests = Counter(
            "assay_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "assay_request_seconds", "From the first byte to the answer.", ("method", "route"),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = self._gauge("assay_requests_in_flight", "Requests under way.")
        self.refusals = self._counter("assay_refusals", "Refusals by problem type.", "type")
        self.replays = self._counter("assay_idempotent_replays", "Answers given a second time.")
        self.retries = self._counter("assay_retries", "Units of work run again.", "reason")
        self.rate_limit = self._counter(
            "assay_rate_limit_decisions", "Requests let through or not.", "limit", "decision"
        )
        self.balance_cache = self._counter(
            "assay_balance_cache_lookups", "Reads of one wallet.", "outcome"
        )
        self.batches = self._counter("assay_batch_executions", "Executions of batches.", "event")
        self.pool_size = self._gauge("assay_pool_connections_most", "Connections allowed.")
        self.pool_in_use = self._gauge("assay_pool_connections_in_use", "Connections in use.")
        self.pool_waiting = self._gauge("assay_pool_waiting", "Threads that wait for one.")
        self.redis_up = self._gauge(
            "assay_redis_up", "1: asked; 0: the breaker is open, or there is no Redis.", mode="min"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *, mode: Any = "sum") -> Gauge:
        live: Any = f"live{mode}"  # Of processes that are no more nothing is told.
        return Gauge(name, text, registry=self._registry, multiprocess_mode=live)

    def refreshed_by(self, refresh: Refresh) -> None:
        """`refresh` sets the gauges of things that are looked at, not counted."""
        self._refresh = refresh

    def refresh(self) -> None:
        self._refresh(self)

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        method = method if method in METHODS else "other"
        self.requests.labels(method, route, f"{status // 100}xx").inc()
        self.request_seconds.labels(method, route).observe(took_s)

    def shown(self) -> bytes:
        """In Prometheus's text format."""
        self.refresh()
        registry = self._registry
        if self._folder:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_worker(folder: str, pid: int) -> None:
    """Its gauges; what it has counted stays counted."""
    for file in Path(folder).glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)


class WatchedPool(QueuePool):
    """Tells how many threads are about to get a connection."""

    def connect(self) -> PoolProxiedConnection:
        asking: set[int] = self.__dict__.setdefault("asking", set())
        me = threading.get_ident()
        asking.add(me)
        try:
            return super().connect()
        finally:
            asking.discard(me)

    def waiting(self) -> int:
        return len(self.__dict__.get("asking", ()))


def _nothing(_: Metrics) -> None:
    pass
