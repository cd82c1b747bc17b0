"""From events to metrics and log lines: who hears of what, and how loudly."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from hub.core import events as ev
from hub.core.errors import leaves
from hub.telemetry.metrics import ALL_ROUTES, NO_ROUTE, UNKNOWN_BACKEND, Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.telemetry.logs import Log

KEPT_NOTICES = 200

_STORE_HINTS = {
    "adopted": "the store has baselines that an older hub has written",
    "file": "the store was empty: the first answer to each question is believed. If there was a store before, stop the "
    "hub and restore its file; with store: {url: …, expect: initialised} an empty store answers nothing",
    "memory": "the store is in memory: baselines of earlier runs are lost, and the first answer to each question is "
    "believed; use sqlite: where Applications must survive a restart of the hub",
}

_IGNORED_HINT = "raise dial.max_addresses, or let the name resolve to fewer addresses"

_FORBIDDEN_HINT = (
    "a backend must not point the hub at its own machine or network; if this is intended, name the address in "
    "the backend's addresses, such as 127.0.0.1:*"
)

_OWN = frozenset(leaf.reason for leaf in leaves() if leaf.is_own)

_SERVER_ERROR = 500
_OK = 200


class Telemetry:
    """Takes every event of the hub."""

    def __init__(self, metrics: Metrics, log: Log, *, details: bool = True) -> None:
        """``details`` is whether the log has a line for what is only of interest at the level ``debug``."""
        self._metrics = metrics
        self._log = log
        self._details = details
        self._worst_stall_s = 0.0
        for leaf in leaves():
            # From zero, so that an alert on an increase sees the first one.
            metrics.refusals.labels(leaf.reason)
        for task in get_args(ev.TaskName):
            metrics.task_failures.labels(task)
        self.notices: deque[ev.AnswerNoticed] = deque(maxlen=KEPT_NOTICES)
        self._takers: dict[type[ev.Event], Callable[[Any], None]] = {
            ev.RequestEnded: self._request_ended,
            ev.BackendAsked: self._backend_asked,
            ev.AskRetried: self._ask_retried,
            ev.QuestionSpared: self._question_spared,
            ev.BreakerMoved: self._breaker_moved,
            ev.AnswerNoticed: self._answer_noticed,
            ev.AnswerCached: self._answer_cached,
            ev.AnswerStale: self._answer_stale,
            ev.AnswerHeldBack: self._answer_held_back,
            ev.DropObserved: self._drop_observed,
            ev.AnswerReleased: self._answer_released,
            ev.HeldDecided: self._held_decided,
            ev.BaselineInherited: self._baseline_inherited,
            ev.BaselinesOverLimit: self._baselines_over_limit,
            ev.BaselinesWithinLimit: self._baselines_within_limit,
            ev.InputVaries: self._input_varies,
            ev.RouteFrozen: self._route_frozen,
            ev.FreezeLifted: self._freeze_lifted,
            ev.KeysTaught: self._keys_taught,
            ev.KeysForgotten: self._keys_forgotten,
            ev.BackendFailure: self._backend_failure,
            ev.SchemaExceeded: self._schema_exceeded,
            ev.InstanceJoined: self._instance_joined,
            ev.InstanceLeft: self._instance_left,
            ev.InstanceUnresponsive: self._instance_unresponsive,
            ev.AddressesChanged: self._addresses_changed,
            ev.AddressesForbidden: self._addresses_forbidden,
            ev.NameUnresolved: self._name_unresolved,
            ev.NameResolved: self._name_resolved,
            ev.StreamOpened: self._stream_opened,
            ev.StreamEnded: self._stream_ended,
            ev.LeaseGranted: self._lease_granted,
            ev.RegistrationRefused: self._registration_refused,
            ev.ClaimIgnored: self._claim_ignored,
            ev.BackendForgotten: self._backend_forgotten,
            ev.StoreTrouble: self._store_trouble,
            ev.StoreRecovered: self._store_recovered,
            ev.StoreOpened: self._store_opened,
            ev.StoreInitialised: self._store_initialised,
            ev.StoreUnusable: self._store_unusable,
            ev.StoreUsable: self._store_usable,
            ev.ConfigurationReloaded: self._configuration_reloaded,
            ev.CertificateInForce: self._certificate_in_force,
            ev.ReloadStep: self._reload_step,
            ev.ConfigurationDoubtful: self._configuration_doubtful,
            ev.TaskFailed: self._task_failed,
            ev.LoopStalled: self._loop_stalled,
            ev.MemoryShort: self._memory_short,
            ev.LibraryMessage: self._library_message,
            ev.ProxyIgnored: self._proxy_ignored,
            ev.HubStarted: self._hub_started,
            ev.HubStopping: self._hub_stopping,
            ev.InternalFault: self._internal_fault,
        }

    def emit(self, event: ev.Event) -> None:
        """Take one event."""
        self._takers[type(event)](event)

    def _request_ended(self, event: ev.RequestEnded) -> None:
        route = event.route or NO_ROUTE
        metrics = self._metrics
        metrics.requests.add((route, str(event.status)))
        metrics.request_duration.observe((route,), event.duration_s)
        if event.status == _OK:
            metrics.sets.add((route,), event.sets)
            self._log.info(
                "answered",
                request_id=event.request_id,
                client=event.client,
                application_set=event.application_set_name,
                route=route,
                sets=event.sets,
                ms=round(event.duration_s * 1000, 2),
            )
            return
        metrics.refusals.labels(event.reason).inc()
        if event.reason in _OWN:
            metrics.own_refusals.labels(route, event.reason).inc()
        say = self._log.error if event.status == _SERVER_ERROR else self._log.warning
        say(
            "refused",
            status=event.status,
            reason=event.reason,
            message=event.message,
            request_id=event.request_id,
            client=event.client,
            application_set=event.application_set_name,
            route=route,
            ms=round(event.duration_s * 1000, 2),
        )

    def _backend_asked(self, event: ev.BackendAsked) -> None:
        self._metrics.backend_requests.add((event.backend, event.outcome))
        self._metrics.backend_duration.observe((event.backend,), event.duration_s)
        if event.checked:
            self._metrics.checks.add((event.checked,))
        if self._details:
            self._log.debug(
                "backend_asked",
                backend=event.backend,
                instances=event.instances,
                outcome=event.outcome,
                checked=event.checked,
                application_set=event.application_set_name,
                request_id=event.request_id,
                ms=round(event.duration_s * 1000, 2),
            )

    def _question_spared(self, event: ev.QuestionSpared) -> None:
        self._metrics.spared.labels(event.backend).inc()

    def _breaker_moved(self, event: ev.BreakerMoved) -> None:
        self._metrics.breaker_open.labels(event.backend).set(1 if event.is_open else 0)
        if event.is_open:
            self._log.warning(
                "breaker_opened",
                backend=event.backend,
                hint="it fails one question after the other; those get the same error at once, until one is answered",
            )
        else:
            self._log.info("breaker_closed", backend=event.backend)

    def _ask_retried(self, event: ev.AskRetried) -> None:
        self._metrics.retries.labels(event.backend).inc()
        self._log.info("ask_retried", backend=event.backend, instance=event.instance, cause=event.cause)

    def _answer_noticed(self, event: ev.AnswerNoticed) -> None:
        self.notices.append(event)
        self._metrics.notices.labels(event.backend, event.notice.kind).inc()
        say = self._log.info if event.notice.severity == "info" else self._log.warning
        say(
            "notice",
            kind=event.notice.kind,
            text=event.notice.text,
            backend=event.backend,
            application_set=event.application_set_name,
            route=event.route,
        )

    def _answer_cached(self, _: ev.AnswerCached) -> None:
        self._metrics.cached.add(())

    def _answer_stale(self, event: ev.AnswerStale) -> None:
        self._metrics.stale.labels(event.route, event.reason).inc()
        self._log.warning(
            "stale_answer",
            route=event.route,
            application_set=event.application_set_name,
            age_s=round(event.age_s, 1),
            reason=event.reason,
            message=event.message,
        )

    def _answer_held_back(self, event: ev.AnswerHeldBack) -> None:
        self._metrics.guard.labels(event.route, "held").inc()
        self._log.warning(
            "answer_held",
            route=event.route,
            held_id=event.held_id,
            missing=event.went,
            changed=event.changed,
            of=event.before,
            limit=event.limit,
        )

    def _drop_observed(self, event: ev.DropObserved) -> None:
        self._metrics.guard.labels(event.route, "observed").inc()
        self._log.warning(
            "drop_observed",
            route=event.route,
            missing=event.went,
            changed=event.changed,
            of=event.before,
            limit=event.limit,
        )

    def _answer_released(self, event: ev.AnswerReleased) -> None:
        self._metrics.guard.labels(event.route, event.how).inc()
        self._log.warning("answer_released", route=event.route, held_id=event.held_id, how=event.how)

    def _held_decided(self, event: ev.HeldDecided) -> None:
        self._log.warning("held_decided", held_id=event.held_id, decision=event.decision, who=event.who)

    def _baseline_inherited(self, event: ev.BaselineInherited) -> None:
        self._metrics.inherited.labels(event.how).inc()
        self._log.warning(
            "baseline_inherited",
            route=event.route,
            application_set=event.application_set_name,
            from_client=event.client,
            from_route=event.from_route,
            from_namespace=event.namespace,
            how=event.how,
        )

    def _baselines_over_limit(self, event: ev.BaselinesOverLimit) -> None:
        self._log.error(
            "baselines_over_limit",
            kept=event.kept,
            limit=event.limit,
            hint=f"all of them are in use, so none is dropped; from {event.bound} on, new questions get a 503. Raise "
            "limits.kept_questions, or see whether an input differs in every question (guard.ignore_inputs)",
        )

    def _baselines_within_limit(self, event: ev.BaselinesWithinLimit) -> None:
        self._log.warning("baselines_within_limit", kept=event.kept, limit=event.limit)

    def _input_varies(self, event: ev.InputVaries) -> None:
        self._metrics.varying_inputs.labels(event.route).inc()
        self._log.warning(
            "input_varies",
            route=event.route,
            application_set=event.application_set_name,
            input=event.key,
            hint=f"the last {event.values} questions or more differ in this input only, and none was asked twice, so "
            "the guard has no baseline to compare an answer with. If the input does not decide which Applications "
            "there are, add it to guard.ignore_inputs",
        )

    def _route_frozen(self, event: ev.RouteFrozen) -> None:
        self._log.warning("frozen", route=event.route or ALL_ROUTES, reason=event.reason, who=event.who)

    def _freeze_lifted(self, event: ev.FreezeLifted) -> None:
        self._log.warning("unfrozen", route=event.route or ALL_ROUTES, who=event.who)

    def _keys_taught(self, event: ev.KeysTaught) -> None:
        self._log.warning("keys_taught", keys=event.keys, who=event.who, **{event.kind: event.name})

    def _keys_forgotten(self, event: ev.KeysForgotten) -> None:
        self._log.warning("keys_forgotten", keys=event.keys, who=event.who, **{event.kind: event.name})

    def _backend_failure(self, event: ev.BackendFailure) -> None:
        self._log.warning(
            "backend_failed",
            backend=event.backend,
            detail=event.detail,
            application_set=event.application_set_name,
            request_id=event.request_id,
        )

    def _schema_exceeded(self, event: ev.SchemaExceeded) -> None:
        self._metrics.schema_failures.labels(event.backend).inc()
        self._log.warning(
            "schema_exceeded",
            backend=event.backend,
            application_set=event.application_set_name,
            detail=event.detail,
        )

    def _instance_joined(self, event: ev.InstanceJoined) -> None:
        self._metrics.registrations.labels(event.backend, event.kind).inc()
        self._log.info(
            "instance_joined",
            backend=event.backend,
            instance=event.instance,
            kind=event.kind,
            version=event.version,
            address=event.address,
        )

    def _instance_left(self, event: ev.InstanceLeft) -> None:
        self._metrics.departures.labels(event.backend, event.kind).inc()
        self._log.info(
            "instance_left", backend=event.backend, instance=event.instance, kind=event.kind, cause=event.cause
        )

    def _instance_unresponsive(self, event: ev.InstanceUnresponsive) -> None:
        self._metrics.departures.labels(event.backend, event.kind).inc()
        self._metrics.ejections.labels(event.backend).inc()
        self._log.warning(
            "instance_unresponsive",
            backend=event.backend,
            instance=event.instance,
            kind=event.kind,
            hint="it answers neither questions nor health checks and gets no questions until it does; see its log",
        )

    def _addresses_changed(self, event: ev.AddressesChanged) -> None:
        say = self._log.warning if event.ignored else self._log.info
        more = {"ignored": event.ignored, "hint": _IGNORED_HINT} if event.ignored else {}
        say("addresses_changed", backend=event.backend, name=event.name, added=event.added, removed=event.removed,
            **more)  # fmt: skip

    def _addresses_forbidden(self, event: ev.AddressesForbidden) -> None:
        self._log.warning(
            "addresses_forbidden",
            backend=event.backend,
            name=event.name,
            endpoints=list(event.endpoints),
            hint=_FORBIDDEN_HINT,
        )

    def _name_unresolved(self, event: ev.NameUnresolved) -> None:
        self._metrics.lookup_failures.labels(event.backend).inc()
        if event.news:
            self._log.warning(
                "name_unresolved", backend=event.backend, name=event.name, reason=event.reason, kept=event.kept
            )

    def _name_resolved(self, event: ev.NameResolved) -> None:
        self._log.info("name_resolved", backend=event.backend, name=event.name)

    def _stream_opened(self, event: ev.StreamOpened) -> None:
        self._log.debug(
            "stream_opened",
            backend=event.backend,
            instance=event.instance,
            peer=event.peer,
            version=event.version,
            claims=event.claims,
            max_in_flight=event.max_in_flight,
        )

    def _stream_ended(self, event: ev.StreamEnded) -> None:
        self._log.debug(
            "stream_ended",
            backend=event.backend,
            instance=event.instance,
            peer=event.peer,
            lasted_s=round(event.lasted_s, 3),
            cause=event.cause,
        )

    def _lease_granted(self, event: ev.LeaseGranted) -> None:
        self._log.debug(
            "lease_granted",
            backend=event.backend,
            instance=event.instance,
            address=event.address,
            lease_s=event.lease_s,
        )

    def _registration_refused(self, event: ev.RegistrationRefused) -> None:
        backend = event.backend or UNKNOWN_BACKEND
        self._metrics.registration_refusals.labels(backend, event.code).inc()
        self._log.warning("registration_refused", backend=backend, code=event.code, detail=event.detail)

    def _claim_ignored(self, event: ev.ClaimIgnored) -> None:
        self._log.warning(
            "claim_ignored",
            backend=event.backend,
            instance=event.instance,
            patterns=event.patterns,
            granted=event.granted,
            hint="add them to application_sets of this backend in the configuration, or remove them from the backend",
        )

    def _backend_forgotten(self, event: ev.BackendForgotten) -> None:
        self._log.warning("backend_forgotten", backend=event.backend, patterns=event.patterns, who=event.who)

    def _store_trouble(self, event: ev.StoreTrouble) -> None:
        self._metrics.store_troubles.inc()
        if event.failing:
            self._metrics.store_failing.set(1)
        self._log.error("store_trouble", detail=event.detail)

    def _store_recovered(self, event: ev.StoreRecovered) -> None:
        self._metrics.store_failing.set(0)
        self._log.warning("store_recovered", failed_for_s=round(event.after_s, 3), hint="changes are accepted again")

    def _store_opened(self, event: ev.StoreOpened) -> None:
        self._log.info("store_opened", store=event.store_id, initialised_at=round(event.created_at_s, 3))

    def _store_initialised(self, event: ev.StoreInitialised) -> None:
        hint = _STORE_HINTS["adopted" if event.how == "adopted" else "file" if event.lasting else "memory"]
        self._log.warning("store_initialised", store=event.store_id, how=event.how, who=event.who, hint=hint)

    def _store_unusable(self, event: ev.StoreUnusable) -> None:
        self._metrics.store_troubles.inc()
        self._log.error("store_unusable", reason=event.reason, message=event.message)

    def _store_usable(self, _: ev.StoreUsable) -> None:
        self._log.warning("store_usable", hint="requests are answered again")

    def _configuration_reloaded(self, event: ev.ConfigurationReloaded) -> None:
        result = "failed" if event.problem else "partial" if event.needs_restart else "ok"
        self._metrics.reloads.labels(result).inc()
        self._metrics.configuration_ok.set(1 if result == "ok" else 0)
        if event.problem:
            self._log.error("configuration_kept", problem=event.problem)
            return
        self._metrics.needs_restart.set(len(event.needs_restart))
        if event.needs_restart:
            self._log.warning(
                "configuration_reloaded",
                needs_restart=event.needs_restart,
                hint="these settings have changed and keep their old values until the hub is restarted",
            )
        else:
            self._log.info("configuration_reloaded")

    def _certificate_in_force(self, event: ev.CertificateInForce) -> None:
        if not event.expires_s:
            with suppress(KeyError):
                self._metrics.certificate_expiry.remove(event.setting)
            return
        self._metrics.certificate_expiry.labels(event.setting).set(event.expires_s)
        day = time.strftime("%Y-%m-%d", time.gmtime(event.expires_s))
        self._log.info("certificate_in_force", setting=event.setting, expires=day)

    def _reload_step(self, event: ev.ReloadStep) -> None:
        self._log.debug("reload_step", step=event.step, ms=round(event.duration_s * 1000, 2), detail=event.detail)

    def _configuration_doubtful(self, event: ev.ConfigurationDoubtful) -> None:
        self._log.warning("configuration_warning", problem=event.problem)

    def _task_failed(self, event: ev.TaskFailed) -> None:
        self._metrics.task_failures.labels(event.task).inc()
        self._log.error("task_failed", task=event.task, then=event.then, traceback=event.traceback)

    def _memory_short(self, event: ev.MemoryShort) -> None:
        used, mib = f"{100 * event.part:.0f} %", event.budget_bytes // (1024 * 1024)
        if event.short:
            hint = "requests get a 503 until it takes less; raise limits.memory"
            self._log.error("memory_short", used=used, budget_mib=mib, hint=hint)
        else:
            self._log.info("memory_enough", used=used, budget_mib=mib)

    def _loop_stalled(self, event: ev.LoopStalled) -> None:
        self._metrics.loop_stalls.inc()
        if event.seconds > self._worst_stall_s:
            self._worst_stall_s = event.seconds
            self._metrics.worst_stall.set(event.seconds)
        # A loop that got no processor says more of the machine than of the hub.
        say = self._log.warning if event.busy_s >= event.seconds / 2 else self._log.info
        say("loop_stalled", ms=round(event.seconds * 1000), busy_ms=round(event.busy_s * 1000), where=event.where)

    def _library_message(self, event: ev.LibraryMessage) -> None:
        say = getattr(self._log, event.level)
        more = {"traceback": event.traceback} if event.traceback else {}
        say("library_message", library=event.library, message=event.message, **more)

    def _proxy_ignored(self, event: ev.ProxyIgnored) -> None:
        self._log.info(
            "proxy_ignored",
            variables=event.variables,
            hint="the hub connects to backends directly; to use the proxy, set proxy_from_environment: true",
        )

    def _hub_started(self, event: ev.HubStarted) -> None:
        self._log.info("hub_started", version=event.version, http=event.http, grpc=event.grpc, admin=event.admin)

    def _hub_stopping(self, event: ev.HubStopping) -> None:
        self._log.info("hub_stopping", signal=event.signal)

    def _internal_fault(self, event: ev.InternalFault) -> None:
        self._metrics.faults.inc()
        self._log.error("internal_fault", where=event.where, request_id=event.request_id, traceback=event.traceback)
