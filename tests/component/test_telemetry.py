"""Metrics and logs: what is counted, what is said, and what never is."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hub.core import answer, directory, events
from hub.core.answer import Notice
from hub.core.errors import leaves
from hub.core.events import (
    AddressesChanged,
    AnswerNoticed,
    BackendAsked,
    ClaimIgnored,
    ConfigurationReloaded,
    Event,
    NameUnresolved,
    RegistrationRefused,
    RequestEnded,
)
from hub.telemetry.logs import MAX_LINE_CHARS, logger
from hub.telemetry.metrics import LATENCY_BUCKETS_S, Metrics, SnapshotCollector
from hub.telemetry.telemetry import KEPT_NOTICES, Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Told:
    """Telemetry with everything that came out of it."""

    def __init__(self, format_: Any = "json", stream: io.StringIO | None = None) -> None:
        self.stream = stream or io.StringIO()
        self.registry = CollectorRegistry()
        self.log = logger(format_, "debug", self.stream)
        self.telemetry = Telemetry(Metrics(self.registry, "1.2.3"), self.log)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().split("\n")[:-1]]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def text(self, accept: str = "") -> str:
        encoder, _ = choose_encoder(accept)
        text: str = encoder(self.registry).decode()
        return text


def every_event() -> list[type[Event]]:
    return Event.__subclasses__()


def sample(kind: type[Event]) -> Event:
    """An event of this kind, with some value in each field."""
    hints = get_type_hints(kind, {**vars(events), "Notice": answer.Notice, "Kind": directory.Kind})
    return kind(**{name: some(hint, name) for name, hint in hints.items() if not name.startswith("__")})


def some(hint: Any, name: str) -> Any:
    if get_origin(hint) is tuple:
        return ("fb-*",)
    if get_args(hint):
        return get_args(hint)[0]
    return {str: f"some-{name}", int: 500, bool: True, float: 1.5, Notice: Notice(kind="null_value", text="t")}[hint]


@pytest.mark.parametrize("kind", every_event(), ids=lambda kind: kind.__name__)
def test_every_event_is_heard(kind: type[Event]) -> None:
    told = Told()
    before = told.text()
    told.telemetry.emit(sample(kind))
    assert told.lines or told.text() != before


@pytest.mark.parametrize("kind", every_event(), ids=lambda kind: kind.__name__)
def test_an_event_is_one_line_of_json_with_a_level_and_a_time(kind: type[Event]) -> None:
    told = Told()
    told.telemetry.emit(sample(kind))
    for line in told.lines:
        assert line["event"].replace("_", "").isalpha()
        assert line["level"] in ("debug", "info", "warning", "error")
        assert line["timestamp"].endswith("Z")
    assert len(told.lines) <= 1


def ended(**more: Any) -> RequestEnded:
    return RequestEnded(**{"status": 200, "duration_s": 0.25, "request_id": "id-1", "route": "previews",
                           "client": "argocd", "application_set_name": "fb-1", "sets": 3, **more})  # fmt: skip


def test_an_answered_request_is_counted_and_said() -> None:
    told = Told()
    told.telemetry.emit(ended())
    assert told.value("appset_hub_requests_total", route="previews", code="200") == 1
    assert told.value("appset_hub_request_duration_seconds_count", route="previews") == 1
    assert told.value("appset_hub_parameter_sets_total", route="previews") == 3
    (line,) = told.lines
    assert (line["event"], line["request_id"], line["application_set"], line["ms"]) == (
        "answered", "id-1", "fb-1", 250.0,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "level"), [(503, "warning"), (403, "warning"), (500, "error")])
def test_a_refused_request_is_counted_by_its_reason_and_said(status: int, level: str) -> None:
    told = Told()
    told.telemetry.emit(ended(status=status, reason="backend_absent", message="m", sets=0))
    assert told.value("appset_hub_refusals_total", reason="backend_absent") == 1
    assert told.value("appset_hub_requests_total", route="previews", code=str(status)) == 1
    (line,) = told.lines
    assert (line["event"], line["reason"], line["message"], line["level"]) == ("refused", "backend_absent", "m", level)


def test_every_reason_starts_at_zero() -> None:
    told = Told()
    assert {told.value("appset_hub_refusals_total", reason=leaf.reason) for leaf in leaves()} == {0.0}


def test_no_label_grows_with_what_callers_send() -> None:
    told = Told()
    for number in range(200):
        told.telemetry.emit(
            ended(route="", status=404, reason="nobody_serves", application_set_name=f"fb-{number}",
                  message=f"m{number}", client="", request_id=f"id-{number}")
        )  # fmt: skip
        told.telemetry.emit(RegistrationRefused(backend="", code="PERMISSION_DENIED", detail=f"b{number}"))
    after_some = len(told.text().splitlines())
    for number in range(200, 1000):
        told.telemetry.emit(ended(route="", status=404, reason="nobody_serves", application_set_name=f"fb-{number}"))
        told.telemetry.emit(RegistrationRefused(backend="", code="PERMISSION_DENIED", detail=f"b{number}"))
    assert len(told.text().splitlines()) == after_some
    assert "fb-" not in told.text()
    assert told.value("appset_hub_requests_total", route="(none)", code="404") == 1000
    assert told.value("appset_hub_registration_refusals_total", backend="(unknown)", code="PERMISSION_DENIED") == 1000


class Moment:
    def instances(self) -> Iterable[tuple[str, str, int]]:
        return [("images", "ready", 2), ("images", "absent", 0)]

    def ignored_claims(self) -> list[tuple[str, int]]:
        return [("images", 2)]

    def requests_in_flight(self) -> int:
        return 4

    def route_requests(self) -> list[tuple[str, int]]:
        return [("previews", 3)]

    def memory(self) -> tuple[int, int | None]:
        return 64, 128

    def remembered(self) -> tuple[int, int]:
        return 5, 600

    def held_answers(self) -> int:
        return 1

    def kept_questions(self) -> tuple[int, int]:
        return 7, 100

    def frozen(self) -> list[str]:
        return ["", "previews"]

    def store(self) -> tuple[float, bool]:
        return 1_800_000_000.0, True


PROMISED = (
    "appset_hub_requests_total", "appset_hub_request_duration_seconds_bucket", "appset_hub_backend_requests_total",
    "appset_hub_backend_request_duration_seconds_bucket", "appset_hub_backend_instances", "appset_hub_build_info",
)  # fmt: skip


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"], ids=["text", "OpenMetrics"])
def test_the_names_that_others_rely_on_are_there_in_both_forms(accept: str) -> None:
    told = Told()
    told.registry.register(SnapshotCollector(Moment()))
    told.telemetry.emit(ended())
    told.telemetry.emit(BackendAsked(backend="images", outcome="ok", duration_s=0.1))
    text = told.text(accept)
    assert [name for name in PROMISED if f"\n{name}{{" not in text] == []
    assert 'appset_hub_build_info{version="1.2.3"} 1.0' in text
    assert 'appset_hub_backend_instances{backend="images",state="ready"} 2.0' in text
    assert text.endswith("# EOF\n") is bool(accept)
    if accept:
        names = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]  # the library has none.
        assert all(name.startswith("appset_hub_") for name in names)


def test_latencies_are_fine_around_the_time_at_which_argo_cd_hangs_up() -> None:
    assert {25, 28, 30, 32} <= set(LATENCY_BUCKETS_S)
    assert list(LATENCY_BUCKETS_S) == sorted(LATENCY_BUCKETS_S)


def test_the_latest_notices_are_kept_and_no_more() -> None:
    told = Told()
    for number in range(KEPT_NOTICES + 10):
        notice = Notice(kind="from_backend", text=str(number), severity="info" if number else "warning")
        told.telemetry.emit(AnswerNoticed(backend="b", route="r", application_set_name="a", notice=notice))
    assert len(told.telemetry.notices) == KEPT_NOTICES
    assert told.telemetry.notices[-1].notice.text == str(KEPT_NOTICES + 9)
    assert (told.lines[0]["level"], told.lines[1]["level"]) == ("warning", "info")


def test_a_reload_is_counted_and_its_problem_said() -> None:
    told = Told()
    told.telemetry.emit(ConfigurationReloaded(problem="deadline: must be more than nothing"))
    assert told.value("appset_hub_configuration_last_reload_successful") == 0
    told.telemetry.emit(ConfigurationReloaded())
    assert told.value("appset_hub_configuration_last_reload_successful") == 1
    assert told.value("appset_hub_configuration_reloads_total", result="ok") == 1
    assert [line["level"] for line in told.lines] == ["error", "info"]


def test_a_reload_that_needs_a_restart_is_no_success_until_the_file_is_in_force() -> None:
    told = Told()
    told.telemetry.emit(ConfigurationReloaded(needs_restart=("listen.http", "limits")))
    assert told.value("appset_hub_configuration_last_reload_successful") == 0
    assert told.value("appset_hub_configuration_needs_restart") == 2
    assert told.value("appset_hub_configuration_reloads_total", result="partial") == 1
    assert told.lines[0]["level"] == "warning"
    assert told.lines[0]["needs_restart"] == ["listen.http", "limits"]
    told.telemetry.emit(ConfigurationReloaded(problem="deadline: must be more than nothing"))
    assert told.value("appset_hub_configuration_needs_restart") == 2
    told.telemetry.emit(ConfigurationReloaded())
    assert told.value("appset_hub_configuration_last_reload_successful") == 1
    assert told.value("appset_hub_configuration_needs_restart") == 0


def test_a_claim_outside_the_grant_is_a_warning_with_both() -> None:
    told = Told()
    told.telemetry.emit(ClaimIgnored(backend="images", patterns=("x-*",), granted=("fb-*",), instance="one"))
    (line,) = told.lines
    assert (line["level"], line["event"], line["backend"]) == ("warning", "claim_ignored", "images")
    assert (line["patterns"], line["granted"]) == (["x-*"], ["fb-*"])


def test_addresses_beyond_the_limit_are_a_warning_that_says_how_many() -> None:
    told = Told()
    changed = AddressesChanged(backend="images", name="images:50051", added=("10.0.0.1:50051",), removed=())
    told.telemetry.emit(changed)
    told.telemetry.emit(msgspec.structs.replace(changed, ignored=7))
    assert [(line["level"], line.get("ignored")) for line in told.lines] == [("info", None), ("warning", 7)]


def test_a_lookup_that_goes_on_failing_is_counted_and_said_once() -> None:
    told = Told()
    for news in (True, False, False):
        told.telemetry.emit(
            NameUnresolved(backend="images", name="images:50051", reason="no such name", kept=2, news=news)
        )
    assert told.value("appset_hub_name_lookup_failures_total", backend="images") == 3
    assert [line["event"] for line in told.lines] == ["name_unresolved"]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "ü€😀", '"quoted"', "\u2028"], ids=repr)
def test_a_text_of_somebody_else_stays_inside_its_line(text: str) -> None:
    told = Told()
    told.telemetry.emit(RegistrationRefused(backend="", code="INVALID_ARGUMENT", detail=text))
    assert told.stream.getvalue().count("\n") == 1
    assert told.lines[0]["detail"] == text


def test_a_line_that_is_too_long_is_cut_in_its_fields() -> None:
    told = Told()
    told.log.info("event", long="a" * 1_000_000 + "end", many=["b" * 1_000_000], number=3)
    (line,) = told.lines
    assert (line["event"], line["number"]) == ("event", 3)
    assert "aaa … aaa" in line["long"]
    assert line["long"].endswith("end")
    assert len(told.stream.getvalue()) < MAX_LINE_CHARS


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rforged", "\u202e", "two\nlines", "\x1b]0;x\x07"])
def test_a_terminal_is_sent_nothing_to_obey(text: str) -> None:
    told = Told("human", Terminal())
    told.log.info("event", text=text)
    colorless = re.sub(r"\x1b\[[0-9;]*m", "", told.stream.getvalue())
    assert colorless.rstrip("\n").isprintable()


def test_auto_is_for_a_person_at_a_terminal_and_for_a_machine_elsewhere() -> None:
    at_a_terminal, elsewhere = Told("auto", Terminal()), Told("auto")
    for told in (at_a_terminal, elsewhere):
        told.telemetry.emit(ended())
    assert elsewhere.lines[0]["event"] == "answered"
    shown = at_a_terminal.stream.getvalue()
    assert "answered" in shown
    assert not shown.startswith("{")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    Telemetry(Metrics(CollectorRegistry(), "1"), logger("json", "error", stream)).emit(ended())
    assert stream.getvalue() == ""
