"""Every metric of every service, declared once. Dashboards and alerts are checked against this list.

Counters count what this process did. Gauges of database totals are set by the lease holder only, so queries over them
use `max without (instance, pod)`. Labels are bounded; none ever holds a person or a lead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)

# Pipeline: the spine and the relay, the same in scoring, routing and metrics.
SPINE_RECORDS = Counter("funnel_spine_records_total", "Records passed by this process.", ["service", "topic"])
SPINE_BATCH_SECONDS = Histogram(
    "funnel_spine_batch_seconds", "Time of one batch transaction.", ["service"], buckets=_SECONDS
)
SPINE_BATCH_RECORDS = Histogram(
    "funnel_spine_batch_records", "Records in one batch transaction.", ["service"], buckets=_RECORDS
)
SPINE_RETRIES = Counter(
    "funnel_spine_retries_total", "Batches redone, by reason (conflict, database, kafka).", ["service", "reason"]
)
SPINE_STOPPED = Gauge(
    "funnel_spine_stopped_partitions", "Held partitions that wait for a person.", ["service", "topic"]
)
SPINE_WAITING = Gauge(
    "funnel_spine_waiting_partitions", "Held partitions paused for a reason that may pass.", ["service", "topic"]
)
LEASES_HELD = Gauge("funnel_leases_held", "Leases this process holds.", ["service"])
RELAY_PUBLISHED = Counter("funnel_relay_published_total", "Records published from the outbox.", ["service"])
RELAY_READ_BACK = Counter(
    "funnel_relay_read_back_total", "Outbox rows found already published after a doubt, and dropped.", ["service"]
)
LAG_RECORDS = Gauge(
    "funnel_lag_records", "Records of the partition not yet applied.", ["service", "topic", "partition"]
)
LAG_SECONDS = Gauge(
    "funnel_lag_seconds", "Age of the oldest record not yet applied; 0 without lag.", ["service", "topic", "partition"]
)

# HTTP: the same in every service.
READY = Gauge("funnel_ready", "Whether this process is ready, as /readyz answers: 1 or 0.")
HTTP_REFUSED = Counter(
    "funnel_http_refused_total",
    "Connections closed for how the client spoke HTTP, by reason (bad-http, head-too-large, slow-head and so on).",
    ["reason"],
)

# Ingest: what came in over HTTP and what it was answered.
INGEST_REQUESTS = Counter("funnel_ingest_requests_total", "Requests answered.", ["endpoint", "status"])
INGEST_REQUEST_SECONDS = Histogram(
    "funnel_ingest_request_seconds", "Time from the head of a request to its answer.", ["endpoint"], buckets=_SECONDS
)
INGEST_ITEMS = Counter(
    "funnel_ingest_items_total",
    "Events and outcomes answered, by result (accepted, duplicate, invalid, retry).",
    ["kind", "result"],
)
INGEST_EVENT_TYPES = Counter(
    "funnel_ingest_event_types_total", "Events stored, by type; types no rule knows are `other`.", ["type"]
)
INGEST_SUSPECTS = Counter(
    "funnel_ingest_suspects_total", "Signs of spam in forms that were stored as suspects, by reason.", ["reason"]
)
INGEST_TURNSTILE = Counter(
    "funnel_ingest_turnstile_total", "Forms that Turnstile was asked about, by verdict.", ["verdict"]
)
INGEST_SPOOLED = Counter(
    "funnel_ingest_spooled_total", "Records this process put into the spool because Kafka did not acknowledge them."
)
INGEST_SPOOL_ROWS = Gauge(
    "funnel_ingest_spool_rows", "Records in the spool, of all processes; NaN while Postgres does not tell."
)
INGEST_SPOOL_SECONDS = Gauge(
    "funnel_ingest_spool_seconds", "Age of the oldest record in the spool; 0 when empty, NaN as above."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a series of `Totals`."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A series that `Totals` may tell."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


# Database totals. Names that end in _total never fall; what a merge or a correction can lower is a gauge.
TOTALS = (
    Family("funnel_leads", "Leads acquired."),
    Family("funnel_leads_by_state", "Leads by where the ledger counts them.", ("state",)),
    Family("funnel_visits_total", "Site visits (page.viewed)."),
    Family("funnel_document_requests_total", "Documents requested."),
    Family("funnel_appointments_total", "Appointments set."),
    Family("funnel_opportunities_total", "Opportunities opened."),
    Family("funnel_orders_won_total", "Orders won, cancelled ones included."),
    Family("funnel_orders_cancelled_total", "Orders cancelled after they were won."),
    Family("funnel_lost_total", "Deals lost."),
    Family("funnel_win_ratio", "Orders won / (orders won + deals lost), of all time; absent while none is decided."),
    Family("funnel_revenue", "Revenue of orders won, cancelled ones taken off.", ("currency",)),
    Family("funnel_held_leads", "Leads held, by pool and reason.", ("pool", "reason")),
    Family("funnel_waiting_outcomes", "Outcomes that wait for a lead not yet known."),
    Family(
        "funnel_unaccounted", "Records or leads that ledger or auditor cannot account for; 0 unless lost.", ("kind",)
    ),
    Family("funnel_audit_age_seconds", "Time since the auditor last completed a round."),
    Family("funnel_outbox_seconds", "Time for which the oldest record in the outbox has not been sent.", ("service",)),
)


class Totals(Collector):
    """Series of values read from Postgres, told only while someone publishes them.

    A plain gauge would go on telling its last value after the lease is lost; these are gone at once.
    """

    def __init__(self) -> None:
        self._owner: object | None = None
        self._samples: Sequence[Sample] = ()

    def publish(self, owner: object, samples: Sequence[Sample]) -> None:
        """Tell exactly these samples from now on, in the name of `owner`."""
        self._owner, self._samples = owner, samples

    def withdraw(self, owner: object) -> None:
        """Tell nothing any more, unless another owner took over."""
        if self._owner is owner:
            self._owner, self._samples = None, ()

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, list[Sample]] = {}
        for sample in self._samples:
            by_name.setdefault(sample.name, []).append(sample)
        for family in TOTALS:
            if family.name in by_name:
                metric = _metric(family)
                for sample in by_name[family.name]:
                    metric.add_sample(sample.name, dict(sample.labels), sample.value)
                yield metric

    def describe(self) -> Iterator[Metric]:
        """The names, so that the registry refuses a second declaration."""
        return map(_metric, TOTALS)


def _metric(family: Family) -> Metric:
    if family.name.endswith("_total"):
        return Metric(family.name.removesuffix("_total"), family.help, "counter")
    return Metric(family.name, family.help, "gauge")


DATABASE_TOTALS = Totals()
REGISTRY.register(DATABASE_TOTALS)
