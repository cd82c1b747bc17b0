"""Argo CD's side: the files of ``deploy/argocd``, and what ``appset-hub argocd manifests`` prints."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml

from hub.config.load import seconds
from tests.deploy.rendering import ARGO_CD_FOLDER, KUSTOMIZE_FOLDER, ROOT, argo_cd_folder, documents, one
from tests.e2e.support.processes import COMMANDS, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.deploy.rendering import Document

    Validate = Callable[[Document], list[str]]

PRODUCTION = KUSTOMIZE_FOLDER / "overlays" / "production" / "hub.yaml"
QUICKSTART = ROOT / "examples" / "quickstart" / "hub.yaml"
TOKEN_KEY = "plugin.appset-hub.token"


def files() -> list[Document]:
    """Everything in ``deploy/argocd``."""
    return [each for file in sorted(ARGO_CD_FOLDER.glob("*.yaml")) for each in documents(file.read_text())]


def printed(*arguments: object) -> list[Document]:
    """What the command prints."""
    done = run(COMMANDS / "appset-hub", "argocd", "manifests", *arguments)
    assert done.code == 0, done
    return documents(done.out)


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema that refuses keys which it does not know, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if found.get("x-kubernetes-int-or-string") is True:
        return {"type": ["integer", "string"]}
    if isinstance(found.get("properties"), dict) and "type" in found:
        found.setdefault("additionalProperties", found.get("x-kubernetes-preserve-unknown-fields", False))
    return found


@pytest.fixture(scope="module")
def validate() -> Validate:
    """Checks one ApplicationSet against the schema that Argo CD's own definition has."""
    crd = yaml.safe_load((argo_cd_folder() / "manifests" / "crds" / "applicationset-crd.yaml").read_text())
    [version] = crd["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    # Of the metadata every object's own rules speak, not the definition's.
    schema["properties"]["metadata"] = {"type": "object", "required": ["name", "namespace"]}
    validator = jsonschema_rs.validator_for(schema)
    return lambda document: [error.message for error in validator.iter_errors(document)]


def test_the_schema_refuses_a_key_that_is_not_there(validate: Validate) -> None:
    document = documents((ARGO_CD_FOLDER / "applicationset-plain.yaml").read_text())[0]
    assert validate(document) == []
    document["spec"]["generators"][0]["plugin"]["inputs"] = {}
    assert len(validate(document)) == 1


@pytest.mark.parametrize("file", sorted(ARGO_CD_FOLDER.glob("applicationset-*.yaml")), ids=lambda file: file.stem)
def test_an_application_set_fits_argo_cds_schema_and_names_a_config_map(file: Path, validate: Validate) -> None:
    [document] = documents(file.read_text())
    assert validate(document) == []
    config_maps = {each["metadata"]["name"] for each in files() if each["kind"] == "ConfigMap"}
    named = {plugin["configMapRef"]["name"] for plugin in plugins(document["spec"]["generators"])}
    assert named
    assert named <= config_maps


def plugins(generators: Any) -> Iterator[dict[str, Any]]:
    """Every plugin generator, however deep."""
    if isinstance(generators, dict):
        if "plugin" in generators:
            yield generators["plugin"]
        generators = list(generators.values())
    if isinstance(generators, list):
        for each in generators:
            yield from plugins(each)


@pytest.mark.parametrize("name", ["appset-hub", "appset-hub-previews"])
def test_a_config_map_leads_to_the_service_and_the_token(standalone: Mapping[str, list[Document]], name: str) -> None:
    data = one(files(), "ConfigMap", name)["data"]
    url = urlsplit(data["baseUrl"])
    service = one(standalone["production"], "Service", "appset-hub")
    assert url.hostname == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local."
    assert url.port in {port["port"] for port in service["spec"]["ports"] if port["name"] == "http"}
    hub = yaml.safe_load(PRODUCTION.read_text())
    assert url.path in ("", *(f"/{route['name']}" for route in hub["routes"]))
    assert int(data["requestTimeout"]) > seconds(hub["deadline"])
    secret, _, key = data["token"].removeprefix("$").rpartition(":")
    held = one(files(), "Secret", secret or "argocd-secret")
    assert held["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd"
    assert base64.b64decode(held["data"][key]) == b"strong-password"


def test_the_command_prints_what_argo_cd_needs(validate: Validate) -> None:
    config_map, secret, application_set = printed("--config", QUICKSTART, "--show-token")
    assert config_map["metadata"] == {"name": "appset-hub", "namespace": "argocd"}
    assert config_map["data"] == {
        "token": f"$appset-hub:{TOKEN_KEY}",
        "baseUrl": "http://appset-hub.appset-hub.svc.cluster.local.:4355",
        "requestTimeout": "30",
    }
    assert secret["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
    assert base64.b64decode(secret["data"][TOKEN_KEY]) == b"strong-password"
    assert application_set["metadata"]["name"] == "fake-appset"
    assert validate(application_set) == []


def test_the_command_puts_a_route_into_the_path_and_its_key_into_the_template(validate: Validate) -> None:
    config_map, _, application_set = printed(
        "--config", PRODUCTION, "--route", "previews", "--base-url", "http://localhost:4355/"
    )
    assert config_map["metadata"]["name"] == "appset-hub-previews"
    assert config_map["data"]["baseUrl"] == "http://localhost:4355/previews"
    assert [each["configMapRef"]["name"] for each in plugins(application_set["spec"])] == ["appset-hub-previews"]
    assert application_set["metadata"]["name"] == "fb-example"
    assert application_set["spec"]["template"]["metadata"]["name"] == "fb-example-{{.branch}}"
    assert validate(application_set) == []


def test_the_command_takes_argo_cds_own_secret() -> None:
    config_map, secret, _ = printed("--config", QUICKSTART, "--secret", "argocd-secret", "--namespace", "gitops")
    assert config_map["data"]["token"] == f"${TOKEN_KEY}"
    assert secret["metadata"]["name"] == "argocd-secret"
    assert {config_map["metadata"]["namespace"], secret["metadata"]["namespace"]} == {"gitops"}


def test_the_command_shows_no_token_unless_it_is_told() -> None:
    done = run(COMMANDS / "appset-hub", "argocd", "manifests", "--config", QUICKSTART)
    assert "strong-password" not in done.out
    assert base64.b64encode(b"strong-password").decode() not in done.out
    assert "kubectl --namespace argocd patch secret appset-hub" in done.out


def test_the_way_to_the_token_is_the_configurations_own(tmp_path: Path) -> None:
    folder = tmp_path / "my hub"
    folder.mkdir()
    (folder / "hub.yaml").write_text(json.dumps({"clients": [{"name": "argocd", "tokens": [{"file": "argo.token"}]}]}))
    done = run(COMMANDS / "appset-hub", "argocd", "manifests", "--config", folder / "hub.yaml")
    assert f"#   token=$(cat '{folder}/argo.token') &&\n" in done.out


def test_the_example_asks_with_the_inputs_that_it_is_given(validate: Validate) -> None:
    *_, application_set = printed("--config", PRODUCTION, "-p", "team=web", "-p", 'limits:={"replicas": 2}')
    [plugin] = plugins(application_set["spec"])
    assert plugin["input"] == {"parameters": {"team": "web", "limits": {"replicas": 2}}}
    assert application_set["spec"]["template"]["metadata"]["name"] == "myplugin-{{.name}}"
    assert validate(application_set) == []


def test_argo_cd_waits_longer_than_the_slowest_route(tmp_path: Path) -> None:
    client = {"name": "argocd", "tokens": [{"file": "token"}]}
    routes = [
        {"name": name, "backends": ["one"], "deadline": deadline} for name, deadline in (("a", "90s"), ("b", "1.5s"))
    ]
    file = tmp_path / "hub.yaml"
    file.write_text(json.dumps({"clients": [client], "routes": routes}))
    for arguments, wanted in (((), "95"), (("--route", "a"), "95"), (("--route", "b"), "7")):
        assert printed("--config", file, *arguments)[0]["data"]["requestTimeout"] == wanted


@pytest.mark.parametrize(
    ("document", "arguments", "message"),
    [
        pytest.param({}, (), "the configuration has no client", id="no client"),
        pytest.param({"clients": 1}, ("--route", "x"), 'the configuration has no route "x"', id="no such route"),
        pytest.param({"clients": 1}, ("--client", "x"), 'the configuration has no client "x"', id="no such client"),
        pytest.param({"clients": 1}, ("--route", "b"), 'client "argocd" may not use route "b"', id="not allowed"),
        pytest.param({"clients": 1}, ("--show-token",), 'cannot read "nowhere": No such file', id="no token"),
        pytest.param({"client": 1}, (), 'client: unknown key; did you mean "clients"?', id="wrong file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    tmp_path: Path, document: dict[str, Any], arguments: tuple[str, ...], message: str
) -> None:
    if document.get("clients"):
        client = {"name": "argocd", "tokens": [{"file": "nowhere"}], "routes": ["a*"]}
        document = {"clients": [client], "routes": [{"name": "b", "backends": ["one"]}]}
    file = tmp_path / "hub.yaml"
    file.write_text(json.dumps(document))
    done = run(COMMANDS / "appset-hub", "argocd", "manifests", "--config", file, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
