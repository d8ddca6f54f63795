"""Metrics of one service, in a registry of its own."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from softcloze.service.batcher import BatchRecord

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """Counters of requests, rows, batches and versions.

    Labels are versions that are served, codes, and patterns of routes: nothing that a request says, so that clients
    cannot fill the memory with them.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answered = Counter(
            "softcloze_rows", "Rows answered, by version.", ("prompt", "version"), registry=self._registry
        )
        self._failed = Counter(
            "softcloze_failed_rows", "Rows without an answer, by code.", ("code",), registry=self._registry
        )
        self._requests = Counter(
            "softcloze_requests", "Requests by route and status.", ("route", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "softcloze_request_seconds", "Time of requests.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._batch_rows = Histogram(
            "softcloze_batch_rows", "Rows of a batch.", buckets=_COUNTS, registry=self._registry
        )
        self._batch_tokens = Histogram(
            "softcloze_batch_tokens", "Tokens of a batch.", buckets=_TOKENS, registry=self._registry
        )
        self._batch_seconds = Histogram(
            "softcloze_batch_seconds", "Time of a batch.", buckets=_SECONDS, registry=self._registry
        )
        self._texts = Counter(
            "softcloze_texts",
            "Texts written, by version and by what ended them.",
            ("prompt", "version", "finish"),
            registry=self._registry,
        )
        self._new_tokens = Counter(
            "softcloze_new_tokens", "New tokens of texts, by version.", ("prompt", "version"), registry=self._registry
        )
        self._text_rows = Histogram(
            "softcloze_text_batch_rows", "Texts of a batch.", buckets=_COUNTS, registry=self._registry
        )
        self._text_seconds = Histogram(
            "softcloze_text_batch_seconds", "Time of a batch of texts.", buckets=_SECONDS, registry=self._registry
        )
        self._loads = Counter(
            "softcloze_version_loads", "Versions loaded, by outcome.", ("outcome",), registry=self._registry
        )
        self._gauges = {
            "queued_rows": Gauge("softcloze_queued_rows", "Rows that wait or are scored.", registry=self._registry),
            "queued_tokens": Gauge(
                "softcloze_queued_tokens", "Tokens that wait or are scored.", registry=self._registry
            ),
            "queued_texts": Gauge("softcloze_queued_texts", "Texts that wait or are written.", registry=self._registry),
            "versions": Gauge("softcloze_versions", "Versions that are served.", registry=self._registry),
        }

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """Read a gauge from a function whenever metrics are asked for."""
        self._gauges[name].set_function(value)

    def count_answered_rows(self, prompt: str, version: int, rows: int) -> None:
        """Count rows by the version that answered them."""
        self._answered.labels(prompt, str(version)).inc(rows)

    def count_failed_rows(self, code: str, rows: int = 1) -> None:
        """Count rows without an answer, by the code of the failure."""
        self._failed.labels(code).inc(rows)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request by the pattern of its route."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def count_batch(self, record: BatchRecord) -> None:
        """Count a batch."""
        self._batch_rows.observe(record.rows)
        self._batch_tokens.observe(record.tokens)
        self._batch_seconds.observe(record.seconds)

    def count_text(self, prompt: str, version: int, finish: str, new_tokens: int) -> None:
        """Count a text by the version that wrote it."""
        self._texts.labels(prompt, str(version), finish).inc()
        self._new_tokens.labels(prompt, str(version)).inc(new_tokens)

    def count_text_batch(self, record: BatchRecord) -> None:
        """Count a batch of texts."""
        self._text_rows.observe(record.rows)
        self._text_seconds.observe(record.seconds)

    def count_loads(self, loaded: int, failed: int) -> None:
        """Count versions that were loaded and aliases that could not be."""
        self._loads.labels("loaded").inc(loaded)
        self._loads.labels("failed").inc(failed)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
