"""The kustomizations, as a cluster and its keepers would read them."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hub.config.file import Drain
from hub.config.load import seconds
from tests.deploy.rendering import CONTROLLER, TOOLS, containers, one, pod_specs, run, tool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.deploy.rendering import Document

NAMES = ("base", "dev", "production", "http-plugin", "mutual-tls", "sidecar", "sidecar-tls")
SIDECARS = ("sidecar", "sidecar-tls")
MINORS = 3
ALONE = "controller-alone"

# What checkov finds, and why it may.
EXPLAINED = {
    ("CKV_K8S_15", ".*"): "the image's tag or digest is fixed, so pulling it again brings nothing else",
    ("CKV_K8S_43", ".*"): "the digest is that of the reader's own image; the production overlay says where to put it",
}


def written(folder: Path, objects: Mapping[str, list[Document]]) -> list[Path]:
    """A file for each of the rendered kustomizations."""
    files = []
    for name, each in objects.items():
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump_all(each))
    return files


def test_everything_fits_the_strict_schemas_of_the_three_newest_minors(
    rendered: Mapping[str, list[Document]], tmp_path: Path
) -> None:
    command = tool("kubernetes-validate")
    schemas = (TOOLS / "venv").glob("lib/*/site-packages/kubernetes_validate/kubernetes-json-schema/*-local-strict")
    minors = sorted({int(schema.name.split(".")[1]) for schema in schemas})[-MINORS:]
    assert len(minors) == MINORS
    files = written(tmp_path, rendered)
    for minor in minors:
        said = run(command, "--strict", "--kubernetes-version", f"1.{minor}", *files)
        assert said.count(" passed ") == sum(map(len, rendered.values()))


@pytest.fixture(scope="module")
def findings(
    rendered: Mapping[str, list[Document]], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, set[tuple[str, str]]]:
    """What the policy scanner finds in each: the check, and the object as `Kind.namespace.name`."""
    # The base is left to those who give it a namespace: checkov takes none for the namespace "default".
    objects = {name: each for name, each in rendered.items() if name != "base"}
    alone = deepcopy(one(objects["sidecar"], "Deployment", CONTROLLER))
    del alone["spec"]["template"]["spec"]["initContainers"]
    files = written(tmp_path_factory.mktemp("scanned"), {**objects, ALONE: [alone]})
    command = (tool("checkov"), "--framework", "kubernetes", "--skip-download", "--soft-fail", "--output", "json")
    report = json.loads(run(*command, *(part for file in files for part in ("--file", file))))
    assert report["summary"]["parsing_errors"] == 0
    found: dict[str, set[tuple[str, str]]] = {file.stem: set() for file in files}
    for check in report["results"]["failed_checks"]:
        found[Path(check["file_path"]).stem].add((check["check_id"], check["resource"]))
    return found


@pytest.mark.parametrize("name", ["dev", "production", "http-plugin", "mutual-tls"])
def test_the_policy_scanner_finds_nothing_that_is_not_explained(
    findings: Mapping[str, set[tuple[str, str]]], name: str
) -> None:
    assert {finding for finding in findings[name] if not explained(*finding)} == set()


@pytest.mark.parametrize("name", SIDECARS)
def test_the_sidecar_adds_nothing_to_what_the_scanner_finds_in_argo_cd(
    findings: Mapping[str, set[tuple[str, str]]], name: str
) -> None:
    assert findings[ALONE]
    assert {finding for finding in findings[name] - findings[ALONE] if not explained(*finding)} == set()


def test_every_explanation_is_of_something_that_the_scanner_finds(
    findings: Mapping[str, set[tuple[str, str]]],
) -> None:
    found = set().union(*findings.values())
    assert {key for key in EXPLAINED if not any(explained(*finding, {key}) for finding in found)} == set()


def explained(check: str, resource: str, among: Collection[tuple[str, str]] = EXPLAINED) -> bool:
    """Whether there is a reason for a finding."""
    return any(check == known and re.match(pattern, resource) for known, pattern in among)


@pytest.mark.parametrize("name", NAMES)
def test_every_container_of_ours_keeps_to_the_restricted_standard(
    rendered: Mapping[str, list[Document]], name: str
) -> None:
    for pod in pod_specs(rendered[name]).values():
        for container in containers(pod):
            if container["name"] == CONTROLLER:
                continue
            context = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] > 0
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        kinds = {key for volume in pod.get("volumes", ()) for key in volume if key != "name"}
        assert kinds <= {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_ours_gets_a_token_for_the_kubernetes_api(rendered: Mapping[str, list[Document]], name: str) -> None:
    accounts = [each for each in rendered[name] if each["kind"] == "ServiceAccount"]
    assert all(
        each["automountServiceAccountToken"] is False for each in accounts if each["metadata"]["name"] != CONTROLLER
    )
    pods = {workload: pod for workload, pod in pod_specs(rendered[name]).items() if workload != CONTROLLER}
    assert all(pod["automountServiceAccountToken"] is False for pod in pods.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_pod_is_given_the_time_that_the_hub_takes_to_drain(
    rendered: Mapping[str, list[Document]], name: str
) -> None:
    drain = hub_yaml(rendered[name]).get("drain", {"delay": Drain().delay, "timeout": Drain().timeout})
    workload = CONTROLLER if name in SIDECARS else "appset-hub"
    pod = pod_specs(rendered[name])[workload]
    assert pod["terminationGracePeriodSeconds"] >= seconds(drain["delay"]) + seconds(drain["timeout"]) + 5
    [hub] = [each for each in containers(pod) if each["image"].startswith("appset-hub:")]
    assert "preStop" not in hub.get("lifecycle", {})
    if name != "dev":
        probe = hub["readinessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] < seconds(drain["delay"])


@pytest.mark.parametrize("name", NAMES)
def test_every_port_of_a_service_is_one_of_the_hubs(rendered: Mapping[str, list[Document]], name: str) -> None:
    workload = CONTROLLER if name in SIDECARS else "appset-hub"
    ports = {
        port["name"]: port["containerPort"]
        for container in containers(pod_specs(rendered[name])[workload])
        for port in container["ports"]
    }
    for service in ("appset-hub", "appset-hub-backends"):
        for port in one(rendered[name], "Service", service)["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    backends = one(rendered[name], "Service", "appset-hub-backends")["spec"]
    assert (backends["clusterIP"], backends["publishNotReadyAddresses"]) == ("None", True)


@pytest.mark.parametrize("name", ["dev", "production", "mutual-tls"])
def test_hub_and_backends_agree_on_names_and_tokens(rendered: Mapping[str, list[Document]], name: str) -> None:
    configured = {backend["name"]: backend for backend in hub_yaml(rendered[name])["backends"]}
    started = set()
    for workload, pod in pod_specs(rendered[name]).items():
        if workload == "appset-hub":
            continue
        [container] = pod["containers"]
        options = dict(argument.removeprefix("--").split("=") for argument in container["args"])
        started.add(options["name"])
        [token] = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "token"]
        assert token["secretName"] == ("appset-hub-dev-tokens" if name == "dev" else "appset-hub-tokens")
        assert configured[options["name"]]["tokens"] == [
            {"file": f"/run/secrets/appset-hub/{token['items'][0]['key']}"}
        ]
        assert options["hub"] == "appset-hub-backends:4356"
    assert started == configured.keys()


def test_no_rendered_secret_has_the_name_of_one_that_the_reader_makes(
    rendered: Mapping[str, list[Document]],
) -> None:
    secrets = {
        each["metadata"]["name"] for objects in rendered.values() for each in objects if each["kind"] == "Secret"
    }
    # The tokens of the overlay "dev" are public, and must not replace real ones.
    assert secrets == {"appset-hub-dev-tokens"}


ARGO_CD = {"kubernetes.io/metadata.name": "argocd"}
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
OURS = {"kubernetes.io/metadata.name": "appset-hub"}
TEAMS = {"kubernetes.io/metadata.name": "team-a", "appset-hub/backends": "allowed"}
OTHER = {"kubernetes.io/metadata.name": "team-b"}
NAMED = "app.kubernetes.io/name"
BACKEND = {NAMED: "appset-hub-static", "app.kubernetes.io/component": "backend"}

CALLERS = [
    pytest.param(ARGO_CD, {NAMED: CONTROLLER}, {4355}, id="the ApplicationSet controller"),
    pytest.param(ARGO_CD, {NAMED: "argocd-server"}, {4355}, id="argocd-server"),
    pytest.param(ARGO_CD, {NAMED: "argocd-repo-server"}, set(), id="another part of Argo CD"),
    pytest.param(OTHER, {NAMED: "argocd-server"}, set(), id="somebody who calls himself argocd-server"),
    pytest.param(OURS, BACKEND, {4356}, id="a backend beside the hub"),
    pytest.param(TEAMS, {NAMED: "owners"}, {4356}, id="a backend of a team that may"),
    pytest.param(OTHER, BACKEND, set(), id="a backend of a team that may not"),
    pytest.param(MONITORING, {NAMED: "prometheus"}, {4357}, id="Prometheus"),
    pytest.param(MONITORING, {NAMED: "grafana"}, set(), id="something else in its namespace"),
]


@pytest.mark.parametrize(("namespace", "labels", "ports"), CALLERS)
def test_the_network_policy_lets_in(
    standalone: Mapping[str, list[Document]], namespace: dict[str, str], labels: dict[str, str], ports: set[int]
) -> None:
    policy = one(standalone["dev"], "NetworkPolicy", "appset-hub")
    assert admitted(policy, OURS, namespace, labels) == ports


@pytest.mark.parametrize(("namespace", "labels", "ports"), CALLERS)
def test_the_network_policy_of_the_sidecar_lets_in(
    sidecar: list[Document], namespace: dict[str, str], labels: dict[str, str], ports: set[int]
) -> None:
    policy = one(sidecar, "NetworkPolicy", "appset-hub")
    if namespace is OURS:
        namespace = ARGO_CD
    assert admitted(policy, ARGO_CD, namespace, labels) == ports


def hub_yaml(objects: list[Document]) -> dict[str, Any]:
    """The hub's configuration in a rendered ConfigMap."""
    text = one(objects, "ConfigMap", "appset-hub-config")["data"]["hub.yaml"]
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def admitted(policy: Document, own: dict[str, str], namespace: dict[str, str], labels: dict[str, str]) -> set[int]:
    """The ports on which a policy of the namespace ``own`` lets a pod in."""
    return {
        port["port"]
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        for port in rule["ports"]
        if selects(peer.get("podSelector", {}), labels)
        and (selects(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else namespace == own)
    }


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
