"""Argo CD's side: the files of ``deploy/argocd``, and what ``appset-hub argocd manifests`` prints."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml

from hub.cli.connection import TAKEN_CONFIG_MAPS
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
SHARED_KEY = "plugin.appset-hub.token"
EXAMPLES = sorted(ARGO_CD_FOLDER.glob("*-applicationset-*.yaml"))


def files() -> list[Document]:
    """Everything in ``deploy/argocd``."""
    return [each for file in sorted(ARGO_CD_FOLDER.glob("*.yaml")) for each in documents(file.read_text())]


def said(command: str, *arguments: object) -> str:
    """What a command of `appset-hub argocd` prints."""
    done = run(COMMANDS / "appset-hub", "argocd", command, *arguments)
    assert done.code == 0, done
    return done.out


def printed(*arguments: object) -> list[Document]:
    """The objects that `argocd manifests` prints."""
    return documents(said("manifests", *arguments))


def configuration(folder: Path, **written: Any) -> Path:
    """A configuration with one client, its token, and what else is given."""
    (folder / "argocd.token").write_text("strong-password\n")
    client = {"name": "argocd", "tokens": [{"file": "argocd.token"}], **written.pop("client", {})}
    file = folder / "hub.yaml"
    file.write_text(json.dumps({"clients": [client, *written.pop("clients", [])], **written}))
    return file


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
    document = documents((ARGO_CD_FOLDER / "20-applicationset-plain.yaml").read_text())[0]
    assert validate(document) == []
    document["spec"]["generators"][0]["plugin"]["inputs"] = {}
    assert len(validate(document)) == 1


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_application_set_fits_argo_cds_schema_and_names_a_config_map(file: Path, validate: Validate) -> None:
    [document] = documents(file.read_text())
    assert validate(document) == []
    named = {plugin["configMapRef"]["name"] for plugin in plugins(document["spec"]["generators"])}
    assert named
    # kubectl takes the files of a folder in this order.
    earlier = (one for one in sorted(ARGO_CD_FOLDER.glob("*.yaml")) if one < file)
    before = [each for one in earlier for each in documents(one.read_text())]
    assert named <= {each["metadata"]["name"] for each in before if each["kind"] == "ConfigMap"}


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
    assert url.hostname == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    assert url.port in {port["port"] for port in service["spec"]["ports"] if port["name"] == "http"}
    hub = yaml.safe_load(PRODUCTION.read_text())
    assert url.path in ("", *(f"/{route['name']}" for route in hub["routes"]))
    assert int(data["requestTimeout"]) > seconds(hub["deadline"])
    [secret] = documents(said("secret", "--config", QUICKSTART))
    assert data["token"] == f"${secret['metadata']['name']}:{next(iter(secret['data']))}"


def test_the_folder_has_no_secret() -> None:
    # Whatever token a file held would replace the reader's own.
    assert {each["kind"] for each in files()} == {"ConfigMap", "ApplicationSet"}


def test_the_command_prints_what_argo_cd_needs(validate: Validate) -> None:
    secret, config_map, application_set = printed("--config", QUICKSTART, "--show-token")
    assert config_map["metadata"] == {"name": "appset-hub", "namespace": "argocd"}
    assert config_map["data"] == {
        "token": "$appset-hub-plugin:token",
        "baseUrl": "http://appset-hub.appset-hub.svc.cluster.local:4355",
        "requestTimeout": "30",
    }
    assert secret["metadata"] == {
        "name": "appset-hub-plugin",
        "namespace": "argocd",
        "labels": {"app.kubernetes.io/part-of": "argocd"},
    }
    assert secret["data"] == {"token": base64.b64encode(b"strong-password").decode()}
    assert documents(said("secret", "--config", QUICKSTART)) == [secret]
    assert application_set["metadata"]["name"] == "fake-appset"
    assert validate(application_set) == []


def test_the_command_puts_a_route_into_the_path_and_its_key_into_the_template(validate: Validate) -> None:
    config_map, application_set = printed(
        "--config", PRODUCTION, "--route", "previews", "--base-url", "http://localhost:4355/"
    )
    assert config_map["metadata"]["name"] == "appset-hub-previews"
    assert config_map["data"]["baseUrl"] == "http://localhost:4355/previews"
    assert [each["configMapRef"]["name"] for each in plugins(application_set["spec"])] == ["appset-hub-previews"]
    assert application_set["metadata"]["name"] == "fb-example"
    assert application_set["spec"]["template"]["metadata"]["name"] == "fb-example-{{.branch}}"
    assert validate(application_set) == []


@pytest.mark.parametrize("name", ["argocd-secret", "appset-hub-tokens", "my-secret"])
def test_a_secret_that_is_not_the_hubs_is_never_printed_but_patched_with_one_key(name: str) -> None:
    options = ("--config", QUICKSTART, "--secret", name)
    text = said("manifests", *options, "--namespace", "gitops")
    assert {each["kind"] for each in documents(text)} == {"ConfigMap", "ApplicationSet"}
    assert {each["metadata"]["namespace"] for each in documents(text)} == {"gitops"}
    reference = documents(text)[0]["data"]["token"]
    assert reference == (f"${SHARED_KEY}" if name == "argocd-secret" else f"${name}:{SHARED_KEY}")
    assert f"kubectl --namespace gitops patch secret {name} --type merge --patch-file /dev/stdin" in text
    patch = json.loads(said("secret", *options))
    assert patch == {"data": {SHARED_KEY: base64.b64encode(b"strong-password").decode()}}


def test_a_secret_that_is_not_argo_cds_is_labelled_without_replacing_a_label() -> None:
    label = "kubectl --namespace argocd label secret my-secret app.kubernetes.io/part-of=argocd"
    assert f"#   {label}\n" in said("manifests", "--config", QUICKSTART, "--secret", "my-secret")
    assert "label secret" not in said("manifests", "--config", QUICKSTART, "--secret", "argocd-secret")


def test_two_clients_share_no_object_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "other.token").write_text("other-password")
    file = configuration(tmp_path, clients=[{"name": "team-b", "tokens": [{"file": "other.token"}]}])
    first = printed("--config", file, "--show-token")[:2]
    other = printed("--config", file, "--client", "team-b", "--show-token")[:2]
    assert {each["metadata"]["name"] for each in first}.isdisjoint(each["metadata"]["name"] for each in other)
    assert other[1]["data"]["token"] == f"${other[0]['metadata']['name']}:token"
    shared = ("--config", file, "--secret", "argocd-secret")
    keys = [json.loads(said("secret", *shared, *more))["data"] for more in ((), ("--client", "team-b"))]
    assert keys[0].keys().isdisjoint(keys[1])


def test_no_config_map_has_the_name_of_one_of_the_sidecars_own(
    rendered: Mapping[str, list[Document]], tmp_path: Path
) -> None:
    ours = {
        each["metadata"]["name"]
        for objects in rendered.values()
        for each in objects
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("appset-hub")
    }
    names = {name.removesuffix(f"-{name.rsplit('-', 1)[-1]}") if hashed(name) else name for name in ours}
    assert names == TAKEN_CONFIG_MAPS
    for name in sorted(names):
        route = {"name": name.removeprefix("appset-hub-"), "backends": ["one"]}
        file = configuration(tmp_path, routes=[route])
        done = run(COMMANDS / "appset-hub", "argocd", "manifests", "--config", file, "--route", route["name"])
        assert (done.code, done.out) == (2, "")
        assert f'would be "{name}"' in done.err


def hashed(name: str) -> bool:
    """Whether kustomize has put a hash at the end of a name."""
    return re.fullmatch(r".*-[2456789bcdfghkmt]{10}", name) is not None


def test_no_url_that_is_shipped_or_printed_has_a_dot_at_the_end_of_its_host() -> None:
    # NO_PROXY and Istio do not match such a host, so the token could go to a proxy.
    shipped = [
        path
        for folder in ("hub", "backends", "sdk", "deploy", "docs", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".yaml", ".md", ".py", ".go", ".js", ".json", ".tmpl")
        and not {"node_modules", ".venv"} & set(path.parts)
    ]
    assert len(shipped) > 100
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in [*shipped, ROOT / "README.md"]}
    texts["printed"] = said("manifests", "--config", QUICKSTART)
    dotted = re.compile(r"https?://[\w.-]+\.(?=[:/\"'`]|$)", re.MULTILINE)
    assert {name: found for name, text in texts.items() if (found := dotted.findall(text))} == {}


@pytest.mark.parametrize("secret", ["appset-hub-plugin", "argocd-secret"])
def test_the_command_shows_no_token_unless_it_is_told(secret: str) -> None:
    text = said("manifests", "--config", QUICKSTART, "--secret", secret)
    assert "strong-password" not in text
    assert base64.b64encode(b"strong-password").decode() not in text
    assert [each["kind"] for each in documents(text)] == ["ConfigMap", "ApplicationSet"]


def test_the_command_that_sets_the_token_is_printed_for_the_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my hub"
    folder.mkdir()
    file = configuration(folder)
    command = f"appset-hub argocd secret --config '{file}' --namespace argocd | kubectl apply --filename -"
    assert f"#   {command}\n" in said("manifests", "--config", file)


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029"], ids=ascii)
@pytest.mark.parametrize("secret", ["appset-hub-plugin", "argocd-secret"])
def test_no_path_and_no_input_ends_the_line_of_a_comment(tmp_path: Path, end: str, secret: str) -> None:
    hostile = f"{end}---{end}kind: Secret{end}metadata: {{name: argocd-secret}}{end}#"
    route = {"name": "a", "application_sets": ["a"], "backends": ["one"], "echo": [hostile]}
    client = {"tokens": [{"file": hostile}]}
    text = said("manifests", "--config", configuration(tmp_path, client=client, routes=[route]), "--secret", secret)
    assert [each["kind"] for each in documents(text)] == ["ConfigMap", "ApplicationSet"]
    assert text.count(ascii(end)[1:-1] + "kind: Secret") >= 2


@pytest.mark.parametrize("token", ["", " \n", "two words", "a\nb", "caf\u00e9"])
@pytest.mark.parametrize("secret", ["appset-hub-plugin", "argocd-secret"])
def test_a_token_that_the_hub_would_not_take_is_set_nowhere(tmp_path: Path, token: str, secret: str) -> None:
    file = configuration(tmp_path)
    (tmp_path / "argocd.token").write_text(token)
    commands = [["secret", "--secret", secret]]
    commands += [["manifests", "--show-token"]] if secret == "appset-hub-plugin" else []
    for command in commands:
        done = run(COMMANDS / "appset-hub", "argocd", *command, "--config", file)
        assert (done.code, done.out) == (2, "")
        assert '"argocd.token" must hold one token' in done.err


def test_the_example_asks_with_the_inputs_that_it_is_given(validate: Validate) -> None:
    *_, application_set = printed("--config", PRODUCTION, "-p", "team=web", "-p", 'limits:={"replicas": 2}')
    [plugin] = plugins(application_set["spec"])
    assert plugin["input"] == {"parameters": {"team": "web", "limits": {"replicas": 2}}}
    assert application_set["spec"]["template"]["metadata"]["name"] == "myplugin-{{.name}}"
    assert validate(application_set) == []


def test_the_example_has_the_inputs_that_the_route_needs_and_says_which_are_placeholders(tmp_path: Path) -> None:
    route = {"name": "a", "application_sets": ["a-*"], "backends": ["one"], "echo": ["team", "stage"]}
    file = configuration(tmp_path, routes=[{**route, "parameters": {"env": "prod-?[0-9]*", "stage": "live"}}])
    text = said("manifests", "--config", file, "-p", "team=web")
    [plugin] = plugins(documents(text)[-1]["spec"])
    assert plugin["input"]["parameters"] == {"team": "web", "stage": "live", "env": "prod-a0example"}
    assert "# The route needs these inputs; replace the placeholders: env, stage\n" in text


@pytest.mark.parametrize(
    ("route", "name"),
    [
        pytest.param({"unique_by": ["name", "env"]}, "{{.name}}-{{.env}}", id="all keys that identify a set"),
        pytest.param({"unique_by": ["app-name"]}, '{{index . "app-name"}}', id="a key that is no identifier"),
        pytest.param({"combine": {"merge": {"on": ["a", "b"]}}}, "{{.a}}-{{.b}}", id="the keys of a merge"),
        pytest.param({"required_keys": ["team", "app"], "echo": ["team"]}, "{{.app}}", id="not what all sets share"),
    ],
)
def test_the_example_names_applications_by_what_identifies_a_set(
    tmp_path: Path, route: dict[str, Any], name: str, validate: Validate
) -> None:
    written = {"name": "a", "application_sets": ["a"], "backends": ["one"], **route}
    *_, application_set = printed("--config", configuration(tmp_path, routes=[written]))
    template = application_set["spec"]["template"]
    assert template["metadata"]["name"] == f"a-{name}"
    assert template["spec"]["destination"]["namespace"] == name
    assert validate(application_set) == []


@pytest.mark.parametrize(
    ("routed", "allowed", "name"),
    [
        pytest.param(["fb-*"], ["*"], "fb-example", id="any"),
        pytest.param(["*"], ["team-a-*"], "team-a-example", id="the client's"),
        pytest.param(["x", "fb-1"], ["fb-?"], "fb-1", id="a name of the route"),
        pytest.param(["fb-*"], ["*-dev"], "fb-example-dev", id="both ends"),
        pytest.param([], ["preview-*"], "preview-example", id="a route without names"),
    ],
)
def test_the_example_has_a_name_that_route_and_client_allow(
    tmp_path: Path, routed: list[str], allowed: list[str], name: str
) -> None:
    route = {"name": "a", "application_sets": routed, "backends": ["one"]}
    file = configuration(tmp_path, client={"application_sets": allowed}, routes=[route])
    assert printed("--config", file, "--route", "a")[-1]["metadata"]["name"] == name


def test_the_example_is_for_a_route_that_the_client_may_use(tmp_path: Path) -> None:
    routes = [{"name": name, "application_sets": [f"{name}-*"], "backends": ["one"]} for name in ("a", "b")]
    file = configuration(tmp_path, client={"routes": ["b"]}, routes=routes)
    assert printed("--config", file)[-1]["metadata"]["name"] == "b-example"


def test_the_example_deletes_no_application_of_a_set_that_has_its_name_already() -> None:
    policy = printed("--config", QUICKSTART)[-1]["spec"]["syncPolicy"]
    assert policy == {"applicationsSync": "create-update"}


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
        pytest.param({"clients": 1}, ("--secret", "a:b"), '"a:b" cannot be the name of a Secret', id="no such name"),
        pytest.param(
            {"clients": 1}, ("--base-url", "hub:4355"), '"hub:4355" is not a usable URL; expected', id="no URL"
        ),
        pytest.param(
            {"clients": 1}, ("--base-url", "http://[::1"), '"http://[::1" is not a usable URL', id="broken URL"
        ),
        pytest.param({"clients": 1}, ("--base-url", "http://hub.local.:4355"), "remove the dot", id="a dot at the end"),
        pytest.param(
            {"clients": 1},
            ("--secret", "argocd-secret", "--show-token"),
            'would replace "argocd-secret"',
            id="the token in a Secret of another",
        ),
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
