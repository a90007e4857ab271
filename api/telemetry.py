"""What the service tells its operators: Prometheus metrics and structured logs, never with ticket text."""

from __future__ import annotations

import logging
import math
import os
import struct
import sys
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from api.privacy.redact import Redactor
from api.shared_values import SharedValues, read_values, write_whole, written_values
from triage.autonomy import Autonomy, Mode
from triage.decision import Decision, Source

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_SIZES = (1, 2, 4, 8, 16, 32)
_SHED, _FALLBACKS = ("queue-full", "deadline", "draining"), ("memory", "encoder", "screening")
"""Why requests are refused because of load, and why written rules or cues take the place of what was learned."""
_COLLECTIONS = 5
_DEAD = "0"
"""In the place of a process id, in the names of files that hold what dead workers counted."""
_MADE_UP = frozenset({"timestamp", "level", "logger", "request_id", "method", "route", "version"})
# There is no other way to tell the library where values are kept.
values.MmapedDict = SharedValues  # type: ignore[attr-defined]

_Metric = TypeVar("_Metric", Counter, Histogram)
_LABELS_KEPT = 4096
"""Parts of metrics that are remembered: some hundred routes and reasons, and some versions of a model."""


class Metrics:
    """Counters of one process; with several processes each adds its share to files in a common directory."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "triage_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.latency = Histogram(
            "triage_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self.in_flight = _gauge("triage_requests_in_flight", "Requests being answered", registry)
        self.waiting = _gauge("triage_queue_tickets", "Tickets that wait for a score", registry)
        self.batch_size = Histogram(
            "triage_score_batch_tickets", "Tickets scored together", buckets=_SIZES, registry=registry
        )
        self.scoring = Histogram(
            "triage_score_seconds", "Time to score a micro-batch", buckets=_SECONDS, registry=registry
        )
        self.shed = Counter("triage_refused", "Requests refused because of load", ["cause"], registry=registry)
        show_at_zero(self.shed, _SHED)
        self.fallbacks = Counter(
            "triage_fallbacks",
            "Micro-batches routed by rules because the model failed, or screened by cues because the classifier did",
            ["cause"],
            registry=registry,
        )
        show_at_zero(self.fallbacks, _FALLBACKS)
        self.decisions = Counter(
            "triage_decisions", "Decisions made", ["automation", "model_version"], registry=registry
        )
        self.verdicts = Counter(
            "triage_verdicts", "Verdicts per target", ["target", "source", "reason"], registry=registry
        )
        self.confidence = Histogram(
            "triage_confidence",
            "Confidence of the model's own verdicts",
            ["target"],
            buckets=_SHARES,
            registry=registry,
        )
        self.load_failures = Counter("triage_model_load_failures", "Bundles refused", registry=registry)
        self.swaps = Counter("triage_model_swaps", "Bundles taken into use", registry=registry)
        self.model_ready = _readiness("triage_model_ready", "1 where a model answers, 0 where the rules do", registry)
        self.spooled = _gauge("triage_spooled_tickets", "Decisions kept in memory until the store answers", registry)
        self.feedback = Counter("triage_feedback", "Feedback taken", ["verdict"], registry=registry)
        self.webhooks = Counter("triage_webhooks", "Webhooks of helpdesks", ["desk", "outcome"], registry=registry)
        self.mailbox_ready = Gauge(
            "triage_mailbox_ready",
            "1 where a mailbox is read, 0 where that fails",
            ["mailbox"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.helpdesk_ready = Gauge(
            "triage_helpdesk_ready",
            "1 where a helpdesk that is asked what is new answers, 0 where that fails",
            ["desk"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.updates = Counter("triage_desk_updates", "Updates to helpdesks", ["desk", "outcome"], registry=registry)
        self.autonomy_open = _shared_gauge("triage_autonomy_open", "1 where the model decides alone", registry)
        self.autonomy_reviews = _shared_gauge("triage_autonomy_reviews", "Reviews that count", registry)
        self.autonomy_errors = _shared_gauge("triage_autonomy_errors", "Errors that they found", registry)
        self.autonomy_to_go = _shared_gauge(
            "triage_autonomy_reviews_to_go", "Clean reviews until automation opens", registry
        )
        self.autonomy_changes = Counter(
            "triage_autonomy_changes", "Openings and closings of automation", ["target", "mode"], registry=registry
        )
        self.store_ready = _readiness("triage_store_ready", "1 where the store answers, 0 where it fails", registry)
        self.dead_letters = Counter(
            "triage_dead_letters",
            "Decisions that the store can never take; see triage store dead-letters",
            registry=registry,
        )
        self.dropped = Counter("triage_dropped_tickets", "Decisions answered but not kept", registry=registry)

    def observe_decision(self, decision: Decision) -> None:
        """Count a decision by how it was made."""
        labelled(self.decisions, decision.automation.value, decision.model_version or "none").inc()
        for name, target in decision.targets.items():
            labelled(self.verdicts, name, target.source.value, target.reason.value).inc()
            if target.source is Source.MODEL and target.confidence is not None:
                labelled(self.confidence, name).observe(target.confidence)

    def observe_autonomy(self, target: str, state: Autonomy, reviews_to_go: int | None) -> None:
        """Tell how far the model in use may go for a target; where no review can open it, none is left to go (NaN)."""
        self.autonomy_open.labels(target).set(int(state.mode is Mode.AUTOMATIC))
        self.autonomy_reviews.labels(target).set(state.reviews)
        self.autonomy_errors.labels(target).set(state.errors)
        self.autonomy_to_go.labels(target).set(math.nan if reviews_to_go is None else reviews_to_go)

    def text(self) -> bytes:
        """Write the metrics of all processes in the Prometheus text format."""
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return generate_latest(self.registry)
        for _ in range(_COLLECTIONS):
            shared = CollectorRegistry()
            try:
                MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
                return generate_latest(shared)
            except FileNotFoundError:  # a worker died meanwhile, and its share was added to that of the dead
                continue
            except (OSError, ValueError, RuntimeError, struct.error):  # the directory is gone, or a file is damaged
                break
        return generate_latest(self.registry)


def show_at_zero(metric: Counter, *labels: Iterable[str]) -> None:
    """Show a metric under every combination of labels before anything is counted.

    To Prometheus a part of a metric that appears with a count of 1 has not risen: no alert would fire for the first
    event of a process.

    Args:
        metric: The metric.
        labels: What each of its labels may be, in their order.
    """
    for combination in product(*labels):
        metric.labels(*combination)


@lru_cache(maxsize=_LABELS_KEPT)
def labelled(metric: _Metric, *labels: str | int) -> _Metric:
    """Return the part of a metric with these labels: remembered, since to find it takes longer than to count."""
    return metric.labels(*labels)


def absorb_metrics(folder: Path, pid: int) -> None:
    """Add what a dead worker counted to the share of all dead ones, and remove its files.

    Otherwise a worker that dies again and again leaves files behind each time, and all of them are read for each
    collection. Gauges of what goes on in a process end with it.

    Args:
        folder: Where the workers keep their counts.
        pid: The dead worker's.
    """
    for file in folder.glob(f"*_{pid}.db"):
        if not file.name.startswith("gauge"):
            try:
                _add_up(file, folder / f"{file.name.removesuffix(f'_{pid}.db')}_{_DEAD}.db")
            except (OSError, ValueError, RuntimeError, struct.error) as error:  # it died in the middle of a write
                logging.getLogger(__name__).warning("counts of a dead worker lost: %s", type(error).__name__)
        file.unlink(missing_ok=True)


def _add_up(file: Path, total: Path) -> None:
    """Add the values of one file of metrics to another, which appears with all of them or stays as it was.

    Nothing is mapped into memory: a full disk would end the process, and this one looks after the others. The file
    goes first, since its room may be the last there is.
    """
    sums = dict(read_values(total))
    for key, (value, at) in read_values(file).items():
        sums[key] = sums.get(key, (0.0, 0.0))[0] + value, at
    file.unlink(missing_ok=True)
    write_whole(total, written_values(sums))


def _gauge(name: str, text: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, text, registry=registry, multiprocess_mode="livesum")


def _readiness(name: str, text: str, registry: CollectorRegistry) -> Gauge:
    """Make a gauge of what every process must be, which is 0 as soon as one of them is not."""
    return Gauge(name, text, registry=registry, multiprocess_mode="livemin")


def _shared_gauge(name: str, text: str, registry: CollectorRegistry) -> Gauge:
    """Make a gauge by target of what all processes know alike: the one who looked last is right."""
    return Gauge(name, text, ["target"], registry=registry, multiprocess_mode="livemostrecent")


def configure_logs(level: str) -> None:
    """Write logs as JSON lines on stderr, those of the server and its libraries included."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_messages_of_errors,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                Redacting(),
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    for name in ("httpx", "httpcore", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class Redacting:
    """The last step of every log line: takes personal data and secrets out of its texts."""

    def __init__(self) -> None:
        self._redactor = Redactor()

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Redact every text but those that the service itself made up."""
        for name, value in event.items():
            if isinstance(value, str) and name not in _MADE_UP:
                event[name] = self._redactor.redact(value)
        return event


def _without_messages_of_errors(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace a traceback by where it happened: an error's message may quote what somebody sent."""
    info = event.pop("exc_info", None)
    error = (
        info[1]
        if isinstance(info, tuple)
        else info
        if isinstance(info, BaseException)
        else sys.exc_info()[1]
        if info
        else None
    )
    if error is not None:
        event.update(described(error))
    return event


def described(error: BaseException) -> dict[str, Any]:
    """Describe an error by its type and the places it passed, without its message."""
    places, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return {"kind": type(error).__name__, "places": places[-12:]}
