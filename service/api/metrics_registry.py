"""What Prometheus reads: this replica's request latencies, and the numbers of the store, read when it asks."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from protocol.jobs import JobKind, JobState
from service.errors import StoreUnavailableError
from service.operations.machines import alive_workers
from service.store.monitoring import OpenJobs
from service.store.unit_of_work import Store, UnitOfWork

logger = logging.getLogger(__name__)

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""A long poll takes up to a minute."""


class Metrics:
    """One replica's; what several replicas say of the store is the same, what they say of requests their own."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self.request_s = Histogram(
            "stillhouse_request_seconds",
            "From a request to the beginning of its answer; a long poll counts with its wait.",
            ("method", "route"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.requests = PrometheusCounter(
            "stillhouse_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_StoreCollector(store))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self.request_s.labels(method, route).observe(seconds)
        self.requests.labels(method, route, str(status)).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


class _StoreCollector(Collector):
    """Reads the store in one transaction, one scrape at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._one_at_a_time = threading.Lock()
        self._ended = _EndedJobs()

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("stillhouse_store_up", "Whether the database answers.")
        with self._one_at_a_time:
            try:
                with self._store.read() as uow:
                    found = list(self._read(uow))
            except StoreUnavailableError as error:
                logger.warning("the metrics of the store are left out: %s", error)
                found = []
        up.add_metric([], bool(found))
        return [up, *found]

    def describe(self) -> Iterable[Metric]:
        """Nothing is read to register this."""
        return ()

    def _read(self, uow: UnitOfWork) -> Iterator[Metric]:
        yield from _queue(uow.monitoring.open_jobs(), uow.now)
        yield self._ended.metric(uow)
        studies = GaugeMetricFamily("stillhouse_studies", "Studies.", labels=("state",))
        for state, count in uow.monitoring.studies():
            studies.add_metric([state], count)
        yield studies
        yield _gauge("stillhouse_workers_alive", "Workers that were heard of lately.", len(alive_workers(uow)))
        suggesting = uow.monitoring.suggesting()
        yield SummaryMetricFamily(
            "stillhouse_suggestion_seconds",
            "How long strategies took to answer, of the studies that there are.",
            count_value=suggesting.count,
            sum_value=suggesting.seconds,
        )
        count, size_bytes = uow.monitoring.artefacts()
        yield _gauge("stillhouse_artefacts", "Artefacts that are kept.", count)
        yield _gauge("stillhouse_artefact_bytes", "What they take.", size_bytes)


class _EndedJobs:
    """Jobs by how they ended. A job that has ended stays so: what lies before the first open one is counted once."""

    def __init__(self) -> None:
        self._settled = 0
        self._counts: Counter[tuple[JobKind, JobState]] = Counter()

    def metric(self, uow: UnitOfWork) -> Metric:
        last = uow.monitoring.last_job()
        first_open = uow.monitoring.first_open_job() or last + 1
        if first_open <= self._settled:  # one came back: a study was resumed
            self._settled, self._counts = 0, Counter()
        self._counts.update(self._between(uow, self._settled + 1, first_open - 1))
        self._settled = first_open - 1
        family = CounterMetricFamily("stillhouse_jobs_ended", "Jobs by how they ended.", labels=("kind", "state"))
        counts = self._counts + self._between(uow, first_open, last)
        for (kind, state), count in sorted(counts.items()):
            family.add_metric([kind, state], count)
        return family

    @staticmethod
    def _between(uow: UnitOfWork, first: int, last: int) -> Counter[tuple[JobKind, JobState]]:
        return Counter({(one.kind, one.state): one.count for one in uow.monitoring.ended_jobs(first, last)})


def _queue(found: list[OpenJobs], now: datetime) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("stillhouse_jobs", "Jobs that have not ended.", labels=("kind", "state", "study_state"))
    for one in found:
        jobs.add_metric([one.kind, one.state, one.study_state], one.count)
    yield jobs
    queued = [(one.kind, one.queued_at) for one in found if one.state is JobState.QUEUED]
    leased = [(one.kind, one.leased_at) for one in found if one.leased_at is not None]
    overdue = [(one.kind, one.expires_at) for one in found if one.expires_at is not None and one.expires_at < now]
    yield _ages("stillhouse_oldest_queued_job_seconds", "Since the oldest queued job was made.", queued, now)
    yield _ages("stillhouse_oldest_lease_seconds", "Since the oldest lease was granted.", leased, now)
    yield _ages("stillhouse_overdue_lease_seconds", "Since a lease ended that nobody has swept.", overdue, now)


def _ages(name: str, text: str, since: list[tuple[JobKind, datetime]], now: datetime) -> Metric:
    """The largest of each kind; no line where there is none."""
    oldest: dict[JobKind, datetime] = {}
    for kind, instant in since:
        oldest[kind] = min(instant, oldest.get(kind, instant))
    family = GaugeMetricFamily(name, text, labels=("kind",))
    for kind, instant in sorted(oldest.items()):
        family.add_metric([kind], max(0.0, (now - instant).total_seconds()))
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], value)
    return family
