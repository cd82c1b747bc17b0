"""Every metric of the hub, its name and its labels.

No label has a value that a caller can make up: routes, backends and clients come from the configuration, everything
else is a constant of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily

from hub.telemetry.tallies import Durations, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

# Seconds. Finest where answers usually are, and around the 30 s after which Argo CD hangs up.
LATENCY_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 28, 30, 32, 45, 60,
)  # fmt: skip

NO_ROUTE = "(none)"
"""The route of a request that was refused before one was found."""

ALL_ROUTES = "(all)"
"""The route of what concerns all of them."""

UNKNOWN_BACKEND = "(unknown)"
"""The backend of a registration under a name that is not configured."""


class Snapshot(Protocol):
    """What is counted when somebody looks, not when it happens."""

    def instances(self) -> Iterable[tuple[str, str, int]]:
        """Backend, state, and how many instances are in it."""
        ...

    def ignored_claims(self) -> Iterable[tuple[str, int]]:
        """Backend, and how many of its claimed patterns its grant excludes."""
        ...

    def requests_in_flight(self) -> int:
        """HTTP requests that are being answered."""
        ...

    def route_requests(self) -> Iterable[tuple[str, int]]:
        """Route, and how many requests it has in flight; those without any may be left out."""
        ...

    def held_answers(self) -> int:
        """Answers that the guard holds now."""
        ...

    def kept_questions(self) -> tuple[int, int]:
        """Questions that have a baseline, and the limit on them."""
        ...

    def frozen(self) -> Iterable[str]:
        """The routes that are frozen; empty stands for all routes."""
        ...

    def store(self) -> tuple[float, bool]:
        """When the store was initialised (Unix seconds; 0: it is not), and whether questions are answered from it."""
        ...

    def memory(self) -> tuple[int, int | None]:
        """What the hub takes and may take, in bytes; ``None`` for any number."""
        ...

    def remembered(self) -> tuple[int, int]:
        """Checked answers that are kept to be compared: how many, and their bytes."""
        ...


class Metrics:
    """All metrics, in one registry."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.requests = Tally("appset_hub_requests", "HTTP requests by route and status.", ("route", "code"), registry)
        self.request_duration = Durations(
            "appset_hub_request_duration_seconds",
            "From the head of a request to its answer.",
            ("route",),
            registry,
            bounds_s=LATENCY_BUCKETS_S,
        )
        self.refusals = Counter(
            "appset_hub_refusals",
            "Requests that were not answered with a 200, by reason.",
            ("reason",),
            registry=registry,
        )
        self.own_refusals = Counter(
            "appset_hub_own_refusals",
            "Requests that the hub itself refused because of a limit or a shutdown, by route and reason: neither a "
            "stale answer nor another member was used.",
            ("route", "reason"),
            registry=registry,
        )
        self.sets = Tally("appset_hub_parameter_sets", "Parameter sets returned, by route.", ("route",), registry)
        self.backend_requests = Tally(
            "appset_hub_backend_requests", "Asks by backend and outcome.", ("backend", "outcome"), registry
        )
        self.backend_duration = Durations(
            "appset_hub_backend_request_duration_seconds",
            "From asking a backend to its checked answer, waiting and retry included.",
            ("backend",),
            registry,
            bounds_s=LATENCY_BUCKETS_S,
        )
        self.retries = Counter(
            "appset_hub_backend_retries",
            "Asks that were repeated at another instance.",
            ("backend",),
            registry=registry,
        )
        self.spared = Counter(
            "appset_hub_spared_questions",
            "Questions that got their last error again at once, because the backend failed all of them just now.",
            ("backend",),
            registry=registry,
        )
        self.breaker_open = Gauge(
            "appset_hub_breaker_open",
            "1 while questions that failed are spared, because the backend fails one after the other.",
            ("backend",),
            registry=registry,
        )
        self.loop_stalls = Counter(
            "appset_hub_event_loop_stalls",
            "How often the event loop stood still for 100 ms or more.",
            registry=registry,
        )
        self.worst_stall = Gauge(
            "appset_hub_event_loop_worst_stall_seconds",
            "The longest time that the event loop stood still since the start, of 100 ms or more.",
            registry=registry,
        )
        self.schema_failures = Counter(
            "appset_hub_schema_failures",
            "Inputs that could not be checked against a backend's schema within limits.schema_time and "
            "limits.schema_memory_bytes.",
            ("backend",),
            registry=registry,
        )
        self.registrations = Counter(
            "appset_hub_registrations",
            "Instances that came, by backend and kind.",
            ("backend", "kind"),
            registry=registry,
        )
        self.departures = Counter(
            "appset_hub_departures",
            "Instances that went, by backend and kind.",
            ("backend", "kind"),
            registry=registry,
        )
        self.ejections = Counter(
            "appset_hub_backend_ejections",
            "Times a dialled instance answered neither questions nor health checks, and got no more questions.",
            ("backend",),
            registry=registry,
        )
        self.lookup_failures = Counter(
            "appset_hub_name_lookup_failures",
            "Failed lookups of the host name of a dialled backend; its last known addresses stay in use.",
            ("backend",),
            registry=registry,
        )
        self.registration_refusals = Counter(
            "appset_hub_registration_refusals",
            "Instances that were turned away, by gRPC code.",
            ("backend", "code"),
            registry=registry,
        )
        self.checks = Tally(
            "appset_hub_checked_answers",
            "Answers that passed the check: read anew, equal to the one before, or not modified.",
            ("how",),
            registry,
        )
        self.cached = Tally(
            "appset_hub_cached_answers", "Answers that were still fresh and given without asking.", (), registry
        )
        self.stale = Counter(
            "appset_hub_stale_answers",
            "Old answers that stood in for an error, by route and reason.",
            ("route", "reason"),
            registry=registry,
        )
        self.guard = Counter(
            "appset_hub_guard_verdicts",
            "Answers that lost too much, by what became of them: held, observed, accepted or released.",
            ("route", "verdict"),
            registry=registry,
        )
        self.inherited = Counter(
            "appset_hub_inherited_baselines",
            "Questions that took over the baseline of the same question under another namespace, client or route.",
            ("how",),
            registry=registry,
        )
        self.varying_inputs = Counter(
            "appset_hub_varying_inputs",
            "Names whose questions differ in one input each time, so they never have a baseline.",
            ("route",),
            registry=registry,
        )
        self.notices = Counter(
            "appset_hub_notices",
            "Risky things in answers, by backend and kind.",
            ("backend", "kind"),
            registry=registry,
        )
        self.reloads = Counter(
            "appset_hub_configuration_reloads",
            "Times the configuration was read again, by result: ok, partial (a setting needs a restart) or failed.",
            ("result",),
            registry=registry,
        )
        self.store_troubles = Counter(
            "appset_hub_store_troubles", "Times the store could not do what it should.", registry=registry
        )
        self.store_failing = Gauge(
            "appset_hub_store_failing",
            "1 from a failed read or write until a write succeeds; 0 otherwise. First and changed answers get a 503.",
            registry=registry,
        )
        self.task_failures = Counter(
            "appset_hub_task_failures",
            "Times a task that should run as long as the hub ended unexpectedly; /readyz names those that fail now.",
            ("task",),
            registry=registry,
        )
        self.faults = Counter("appset_hub_internal_faults", "Defects of the hub's own.", registry=registry)
        self.configuration_ok = Gauge(
            "appset_hub_configuration_last_reload_successful",
            "1 if the configuration on disk is the one in force; 0 if it was rejected, or a setting needs a restart.",
            registry=registry,
        )
        self.needs_restart = Gauge(
            "appset_hub_configuration_needs_restart",
            "Changed settings that keep their old values until the hub is restarted; /readyz names them.",
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "appset_hub_certificate_expiry_timestamp_seconds",
            "When the first of the certificates expires that a setting names, in Unix seconds: those of the ports, of "
            "backends, and of CAs.",
            ("setting",),
            registry=registry,
        )
        self.configuration_ok.set(1)
        build = Gauge("appset_hub_build_info", "1; the version is the label.", ("version",), registry=registry)
        build.labels(version).set(1)


class SnapshotCollector:
    """Asks a ``Snapshot`` whenever somebody scrapes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        instances = GaugeMetricFamily(
            "appset_hub_backend_instances", "Instances by backend and state.", labels=("backend", "state")
        )
        for backend, state, count in self._snapshot.instances():
            instances.add_metric((backend, state), count)
        yield instances
        ignored = GaugeMetricFamily(
            "appset_hub_ignored_claims",
            "Claimed patterns that can never count, because the backend's grant excludes them.",
            labels=("backend",),
        )
        for backend, count in self._snapshot.ignored_claims():
            ignored.add_metric((backend,), count)
        yield ignored
        yield GaugeMetricFamily(
            "appset_hub_requests_in_flight", "HTTP requests being answered.", self._snapshot.requests_in_flight()
        )
        of_routes = GaugeMetricFamily(
            "appset_hub_route_requests_in_flight",
            "Requests that wait for the backends of a route; max_in_flight limits them.",
            labels=("route",),
        )
        for route, count in self._snapshot.route_requests():
            of_routes.add_metric((route,), count)
        yield of_routes
        yield GaugeMetricFamily(
            "appset_hub_held_answers", "Answers that wait for an operator.", self._snapshot.held_answers()
        )
        kept, limit = self._snapshot.kept_questions()
        yield GaugeMetricFamily("appset_hub_kept_questions", "Questions that have a baseline.", kept)
        yield GaugeMetricFamily(
            "appset_hub_kept_questions_limit",
            "limits.kept_questions: above it, unused baselines are dropped; at twice as many, new questions get a 503.",
            limit,
        )
        frozen = GaugeMetricFamily(
            "appset_hub_frozen",
            '1 for each route that an operator has frozen, "(all)" for all; absent otherwise. Changes get a 503.',
            labels=("route",),
        )
        for route in self._snapshot.frozen():
            frozen.add_metric((route or ALL_ROUTES,), 1)
        yield frozen
        since_s, usable = self._snapshot.store()
        yield GaugeMetricFamily(
            "appset_hub_store_initialised_timestamp_seconds",
            "When the store was initialised; 0 while it is not. Baselines are not older than that.",
            since_s,
        )
        yield GaugeMetricFamily(
            "appset_hub_store_usable",
            "1, or 0 while the store is not initialised or lost, and every request gets a 503.",
            1 if usable else 0,
        )
        used_bytes, budget_bytes = self._snapshot.memory()
        yield GaugeMetricFamily(
            "appset_hub_memory_used_bytes",
            "What the hub and the processes that it starts take; from 90 % of the budget on, requests get a 503.",
            used_bytes,
        )
        if budget_bytes is not None:
            yield GaugeMetricFamily(
                "appset_hub_memory_budget_bytes", "limits.memory; absent without one.", budget_bytes
            )
        entries, size_bytes = self._snapshot.remembered()
        yield GaugeMetricFamily(
            "appset_hub_remembered_answers", "Checked answers that are kept to be compared.", entries
        )
        yield GaugeMetricFamily("appset_hub_remembered_answers_bytes", "What they hold in memory, about.", size_bytes)
