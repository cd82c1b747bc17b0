"""The page that tells every metric of the hub, as ``hub.telemetry.metrics`` declares them."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from hub.telemetry.metrics import Metrics, SnapshotCollector
from hub.telemetry.tallies import Durations, Tally

HEAD = """\
# Metrics

Made from `hub/telemetry/metrics.py` by `make docs`. They are on the admin port under `/metrics`, as OpenMetrics or in
Prometheus' text form, beside those of the process (`process_…`, `python_…`).

No label has a value that a caller can make up. `route` is a configured route, `(claims)` for routes made of claims, or
`(none)` when a request was refused before a route was found.

| metric | kind | labels | what |
|---|---|---|---|
"""


class _Empty:
    """A hub in which there is nothing to count."""

    def instances(self) -> Iterable[tuple[str, str, int]]:
        return ()

    def ignored_claims(self) -> Iterable[tuple[str, int]]:
        return ()

    def requests_in_flight(self) -> int:
        return 0

    def held_answers(self) -> int:
        return 0

    def kept_questions(self) -> tuple[int, int]:
        return 7, 100

    def frozen(self) -> list[str]:
        return []

    def store(self) -> tuple[float, bool]:
        return 0.0, False

    def route_requests(self) -> Iterable[tuple[str, int]]:
        return ()

    def memory(self) -> tuple[int, int | None]:
        return 0, 1

    def remembered(self) -> tuple[int, int]:
        return 0, 0


def page() -> str:
    """The whole page."""
    return HEAD + "".join(
        f"| `{name}` | {kind} | {labels} | {what} |\n" for name, kind, labels, what in sorted(_rows())
    )


def _rows() -> Iterator[tuple[str, str, str, str]]:
    metrics = Metrics(CollectorRegistry(), "")
    for metric in vars(metrics).values():
        if isinstance(metric, Tally | Durations):
            family = next(metric.collect())
            labels = _labels(family)
        elif isinstance(metric, MetricWrapperBase):
            family = next(iter(metric.describe()))
            labels = _labels(metric)
        else:
            raise TypeError("Metrics holds something that is no metric")
        name = family.name + ("_total" if family.type == "counter" else "")
        yield name, family.type, ", ".join(f"`{label}`" for label in labels), family.documentation
    yield "appset_hub_build_info", "gauge", "`version`", "1; the version is the label."
    for family in SnapshotCollector(_Empty()).collect():
        yield (
            family.name,
            family.type,
            ", ".join(f"`{label}`" for label in _labels(family)),
            family.documentation,
        )


def _labels(metric: object) -> tuple[str, ...]:
    return tuple(getattr(metric, "_labelnames", ()))
