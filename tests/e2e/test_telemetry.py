"""What an operator sees: metrics, probes, health, logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.support.rig import Hub, Rig

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

# The names of design.md, section 2, with their labels.
NAMES = {
    "appset_hub_requests_total": {"route", "code"},
    "appset_hub_request_duration_seconds_bucket": {"route", "le"},
    "appset_hub_backend_requests_total": {"backend", "outcome"},
    "appset_hub_backend_request_duration_seconds_bucket": {"backend", "le"},
    "appset_hub_backend_instances": {"backend", "state"},
    "appset_hub_build_info": {"version"},
}


@pytest.fixture(scope="module")
def asked(shared_rig: Rig) -> Hub:
    """A hub that was asked a few things; one of its backends never came."""
    shared_rig.configure(
        wait_for_absent="100ms",
        backends=[
            shared_rig.backend("images", application_sets=["fb-*"]),
            shared_rig.backend("owners", application_sets=["own-*"]),
        ],
        routes=[
            {"name": "previews", "application_sets": ["pr-*"], "backends": ["images"]},
            {"name": "teams", "application_sets": ["own-*"], "backends": ["owners"]},
        ],
    )
    hub = shared_rig.hub()
    secret = [{"from": "images", "password": "hunter2", "replicas": 1_000_000}]
    shared_rig.sdk("images", hub, "--application-sets", "fb-*", "--sets", json.dumps(secret))
    hub.joined("images")
    assert hub.ask("pr-1", {"key": "input-value"}).sets == secret
    assert hub.ask("fb-1").status == 200
    assert hub.ask("own-1").status == 503
    assert hub.ask("nobody-knows-me").status == 404
    assert hub.ask("fb-1", token="wrong-token").status == 403
    return hub


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_metrics_parse_and_have_the_names_that_others_rely_on(asked: Hub, form: str) -> None:
    reply = asked.get("/metrics", {"Accept": OPENMETRICS} if form == "openmetrics" else None)
    parse = parse_openmetrics if form == "openmetrics" else parse_text
    assert reply.headers["content-type"].startswith(
        "application/openmetrics-text" if form == "openmetrics" else "text/plain"
    )
    samples = [sample for family in parse(reply.body.decode()) for sample in family.samples]
    for name, labels in NAMES.items():
        found = [sample for sample in samples if sample.name == name]
        assert found, name
        assert all(sample.labels.keys() == labels for sample in found)


def test_metrics_count_what_was_asked(asked: Hub) -> None:
    assert asked.metric("appset_hub_requests_total", route="previews", code="200") == 1
    assert asked.metric("appset_hub_requests_total", route="(claims)", code="200") == 1
    assert asked.metric("appset_hub_requests_total", route="teams", code="503") == 1
    assert asked.metric("appset_hub_requests_total", route="(none)", code="404") == 1
    assert asked.metric("appset_hub_backend_requests_total", backend="images", outcome="ok") == 2
    assert asked.metric("appset_hub_backend_requests_total", backend="owners", outcome="backend_absent") == 1
    assert asked.metric("appset_hub_backend_instances", backend="images", state="ready") == 1
    assert asked.metric("appset_hub_refusals_total", reason="token_wrong") == 1
    assert asked.metric("appset_hub_registrations_total", backend="images", kind="attached") == 1
    assert asked.metric("appset_hub_requests_in_flight") == 0


def test_latency_is_measured_finely_around_the_limit_of_argo_cd(asked: Hub) -> None:
    bounds = {
        float(sample.labels["le"])
        for family in asked.metrics()
        if family.name == "appset_hub_request_duration_seconds"
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert {25.0, 30.0} <= bounds
    assert len([bound for bound in bounds if 25 <= bound <= 35]) >= 3


def test_no_label_has_a_value_that_a_caller_made_up(asked: Hub) -> None:
    values = {value for family in asked.metrics() for sample in family.samples for value in sample.labels.values()}
    assert not {value for value in values if "nobody-knows-me" in value or "fb-1" in value or "input-value" in value}


def test_probes_answer_and_say_what_is_missing(asked: Hub) -> None:
    assert asked.get("/livez").status == 200
    assert asked.get("/healthz").status == 200
    ready = asked.get("/readyz")
    assert ready.status == 200
    assert ready.json["missing"] == []
    assert ready.json["absent_backends"] == ["owners"]


@pytest.fixture
def health(asked: Hub) -> Iterator[health_pb2_grpc.HealthStub]:
    with grpc.insecure_channel(asked.grpc_address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", "appset_hub.v1.RegistryService"])
def test_grpc_health_says_serving(health: health_pb2_grpc.HealthStub, service: str) -> None:
    response = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_health_knows_no_other_service(health: health_pb2_grpc.HealthStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(health_pb2.HealthCheckRequest(service="another"), timeout=10)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_every_log_line_is_json_with_an_event_and_without_secrets(asked: Hub) -> None:
    for line in asked.lines:
        logged = json.loads(line)
        assert {"event", "level", "timestamp"} <= logged.keys()
    for secret in ("argocd-token", "images-token", "wrong-token", "hunter2", "input-value"):
        assert secret not in asked.output
    answered = asked.event("answered", application_set="pr-1")
    assert (answered["route"], answered["sets"], answered["client"]) == ("previews", 1, "argocd")
    refused = asked.event("refused", status=503)
    assert refused["request_id"]
    assert '"owners"' in refused["message"]


def test_a_risky_answer_is_noticed(asked: Hub) -> None:
    notice = asked.event("notice", backend="images")
    assert "replicas" in notice["text"]
    assert any("replicas" in json.dumps(one) for one in asked.get("/api/notices").json)


def test_at_the_level_debug_each_question_and_stream_is_in_the_log(rig: Rig) -> None:
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*"])], log={"level": "debug"})
    hub = rig.hub()
    backend = rig.sdk("images", hub, "--application-sets", "fb-*")
    opened = hub.event("stream_opened", level="debug", backend="images")
    assert opened["claims"] == ["fb-*"]
    hub.joined("images")
    assert hub.ask("fb-1").status == 200
    asked = hub.event("backend_asked", level="debug", outcome="ok", application_set="fb-1")
    assert asked["request_id"] == hub.event("answered")["request_id"]
    assert asked["instances"] == [opened["instance"]]
    backend.stop()
    assert hub.event("stream_ended", backend="images", instance=opened["instance"])["lasted_s"] > 0


def test_without_debug_there_are_no_details_in_the_log(asked: Hub) -> None:
    assert [line for line in asked.lines if '"level":"debug"' in line] == []
    assert asked.get("/readyz").json["failing_tasks"] == []
    assert asked.metric("appset_hub_task_failures_total", task="reload") == 0


def test_fewer_file_descriptors_than_connections_are_told_at_the_start(rig: Rig) -> None:
    rig.configure(limits={"connections": 1000})
    few = rig.hub(within=("prlimit", "--nofile=1024:1024"))
    assert "limits.connections: 1000 connections need as many" in few.event("configuration_warning")["problem"]
    few.stop()
    enough = rig.hub(within=("prlimit", "--nofile=1256:1256"))
    assert [one for one in enough.events("configuration_warning") if "limits.connections" in one["problem"]] == []
