"""From ``hub.yaml`` to settings: what overrides what, and each mistake in one message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hub.config.file import File
from hub.config.load import Source, load, seconds
from hub.config.mistakes import ConfigurationError
from hub.config.read import Scalar, read, scalars
from hub.core.combine import Concat, First, Merge
from hub.core.guard import GuardPolicy
from hub.core.settings import Address, Settings
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CLIENT = "clients: [{name: argocd, tokens: [{file: token}]}]\n"
BACKEND = "backends: [{name: images, tokens: [{file: images}], application_sets: ['fb-*']}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("token", "images", "owners", "admin"):
        (tmp_path / name).write_text(f" secret-{name}\n")
    return tmp_path


def loaded(
    folder: Path,
    text: str,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    *,
    dev: bool = False,
) -> Settings:
    path = folder / "hub.yaml"
    path.write_text(text, encoding="utf-8")
    return load(Source(path=path, flags=flags or {}, dev=dev), environment or {})


def mistakes(folder: Path, text: str, environment: Mapping[str, str] | None = None, **more: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as wrong:
        loaded(folder, text, environment, **more)
    assert str(wrong.value) == "\n".join(str(mistake) for mistake in wrong.value.mistakes)
    return [str(mistake) for mistake in wrong.value.mistakes]


def test_the_example_of_the_design_is_taken(folder: Path) -> None:
    settings = loaded(
        folder,
        """
listen: {http: ":4355", grpc: ":4356", admin: ":4357"}
store: "sqlite:./appset-hub.db"
deadline: 25s
clients:
  - {name: argocd, tokens: [{file: token}], application_sets: ["*"], routes: ["*"]}
backends:
  - {name: images, tokens: [{file: images}], application_sets: ["fb-*"]}
  - {name: owners, tokens: [{file: owners}], application_sets: ["fb-*"], addresses: ["*.owners.svc:50051"]}
  - {name: legacy, address: "dns:///legacy:50051", application_sets: ["old-*"]}
routes:
  - name: previews
    application_sets: ["fb-*"]
    backends: [images, owners]
    combine: {merge: {on: [branch]}}
    deadline: 10s
    required_keys: [branch]
    numbers: text
    guard: {max_drop: 50%, min_sets: 5, release: manual}
""",
    )
    assert settings.listen.http == Address("", 4355)
    assert settings.store == f"sqlite:{folder}/appset-hub.db"
    (client,) = settings.clients
    assert (client.client.name, client.tokens) == ("argocd", ("secret-token",))
    images, owners, legacy = settings.backends
    assert images.tokens == ("secret-images",)
    assert owners.grant.addresses == ("*.owners.svc:50051",)
    assert legacy.grant.configured_address == "dns:///legacy:50051"
    (route,) = settings.routes
    assert (route.name, route.members, route.deadline_s, route.combine) == (
        "previews", ("images", "owners"), 10.0, Merge(on=("branch",)),
    )  # fmt: skip
    assert route.rules.required_keys == ("branch",)
    assert route.values.numbers == "text"
    assert route.trust.guard == GuardPolicy(mode="enforce", max_drop=0.5, min_sets=5, release_after_s=None)


def test_what_is_not_said_is_the_default(folder: Path) -> None:
    settings = loaded(folder, CLIENT)
    assert (settings.listen.http.port, settings.listen.grpc.port, settings.listen.admin.port) == (4355, 4356, 4357)
    assert settings.claimed.deadline_s == 25.0
    assert settings.claimed.wait_for_absent_s == 3.0
    assert settings.limits.keepalive_s > 90
    assert settings.limits.answer.max_bytes == 16 * 1024 * 1024
    assert settings.clients[0].client.application_sets == ("*",)
    assert settings.claimed.trust.guard == GuardPolicy()
    assert not settings.dev


def test_a_route_takes_what_it_does_not_say_from_the_whole(folder: Path) -> None:
    text = (
        CLIENT
        + BACKEND
        + """
deadline: 20s
wait_for_absent: 500ms
guard: {mode: observe, release: {after: 30m}}
stale_if_error: {max_age: 1h}
cache: {fresh: 10s}
routes:
  - {name: a, backends: [images]}
  - {name: b, backends: [images], combine: first, deadline: 5s, wait_for_absent: 0s, guard: {mode: "off"},
     stale_if_error: {max_age: 2d}, cache: {max: 2m}, nulls: drop, echo: [env], parameters: {env: "p*"}}
"""
    )
    a, b = loaded(folder, text).routes
    assert (a.deadline_s, a.wait_for_absent_s, a.combine) == (20.0, 0.5, Concat())
    assert (a.trust.guard.mode, a.trust.guard.release_after_s) == ("observe", 1800.0)
    assert (a.trust.stale_max_age_s, a.trust.freshness.fresh_s) == (3600.0, 10.0)
    assert (b.deadline_s, b.wait_for_absent_s, b.combine) == (5.0, 0.0, First())
    assert (b.trust.guard.mode, b.trust.stale_max_age_s, b.trust.freshness.max_s) == ("off", 172_800.0, 120.0)
    assert (b.values.nulls, b.values.echo, b.parameters) == ("drop", ("env",), (("env", "p*"),))


def test_flags_are_over_the_environment_over_the_file_over_the_default(folder: Path) -> None:
    text = CLIENT + "deadline: 21s\nlisten: {http: ':1'}\nlimits: {max_sets: 7}\n"
    assert loaded(folder, text).claimed.deadline_s == 21.0
    environment = {"HUB_DEADLINE": "22s", "HUB_LISTEN_HTTP": ":2", "HUB_LIMITS_MAX_SETS": "8", "HUB_LOG_LEVEL": "debug"}
    settings = loaded(folder, text, environment)
    assert (settings.claimed.deadline_s, settings.listen.http.port, settings.limits.answer.max_sets) == (22.0, 2, 8)
    assert settings.log_level == "debug"
    settings = loaded(folder, text, environment, {"deadline": "23s", "listen.http": ":3", "limits.max_sets": "9"})
    assert (settings.claimed.deadline_s, settings.listen.http.port, settings.limits.answer.max_sets) == (23.0, 3, 9)


@pytest.mark.parametrize("setting", list(scalars()), ids=lambda setting: setting.path)
def test_every_plain_setting_can_be_overridden(setting: Scalar) -> None:
    name = "HUB_" + setting.path.replace(".", "_").upper()
    taken = {value for value in ("7", "7s", "7%", "observe", "human", "error") if is_taken({name: value}, {}, setting)}
    assert taken
    assert taken == {value for value in (*taken,) if is_taken({}, {setting.path: value}, setting)}


def is_taken(environment: dict[str, str], flags: dict[str, str], setting: Scalar) -> bool:
    try:
        found: Any = read(None, environment, flags)
    except ConfigurationError:
        return False
    for key in setting.path.split("."):
        found = getattr(found, key)
    assert str(found) in (*environment.values(), *flags.values())
    return True


@pytest.mark.parametrize(
    ("text", "value_s"),
    [("500ms", 0.5), ("25s", 25.0), ("1.5s", 1.5), ("30m", 1800.0), ("2h", 7200.0), ("1d", 86400.0), ("0s", 0.0)],
)
def test_a_duration_has_its_unit(text: str, value_s: float) -> None:
    assert seconds(text) == value_s


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("deadlin: 5s", "deadlin: there is no such setting"),
        ("listen: {htp: ':1'}", "listen.htp: there is no such setting"),
        ("routes: [{name: a, backends: [images], combin: first}]", "routes[0].combin: there is no such setting"),
        ("clients: [{tokens: [{file: token}]}]", "clients[0].name: is missing"),
        ("clients: [{name: argocd, tokens: [{}]}]", "clients[0].tokens[0].file: is missing"),
        ("deadline: 5", 'deadline: expected "str", got "int"'),
        ("deadline: 5 s", "deadline: expected a duration, as in 500ms, 25s or 30m"),
        ("deadline: -5s", "deadline: expected a duration, as in 500ms, 25s or 30m"),
        ("guard: {max_drop: half}", "guard.max_drop: expected a percentage, as in 50%"),
        ("clients: [{name: Argo CD, tokens: [{file: token}]}]",
         "clients[0].name: expected a DNS-1123 label: lower case letters, digits and hyphens"),
        ("clients: {}", 'clients: expected "array", got "object"'),
        ("limits: {max_sets: 0}", 'limits.max_sets: expected "int" >= 1'),
        ("limits: {max_sets: many}", 'limits.max_sets: expected "int", got "str"'),
        ("log: {format: xml}", "log.format: invalid enum value 'xml'"),
        ("log: {level: LOUD}", "log.level: invalid enum value 'LOUD'"),
    ],
    ids=["a key", "a key inside", "a key in a list", "a name", "a file", "a number", "a space", "a minus",
         "a percentage", "a label", "a mapping", "none at all", "a text", "a format", "a level"],
)  # fmt: skip
def test_what_has_the_wrong_shape_is_one_message_with_its_place(folder: Path, text: str, mistake: str) -> None:
    assert mistakes(folder, text) == [mistake]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["clients: without any token nobody could call; name one client at least (or try --dev)"]),
        (CLIENT + "deadline: 0s", ["deadline: must be more than nothing"]),
        (CLIENT + "limits: {lease: 0s}", ["limits.lease: must be more than nothing"]),
        (CLIENT + "listen: {http: '4355'}", ['listen.http: "4355" is not host:port']),
        (CLIENT + "listen: {http: 'h:x', admin: 'h:65536'}",
         ['listen.http: "h:x" is not host:port', 'listen.admin: "h:65536" is not host:port']),
        (CLIENT + "store: 'postgres://x'", ['store: expected "memory:" or "sqlite:PATH"']),
        (CLIENT + "store: 'sqlite:'", ['store: expected "memory:" or "sqlite:PATH"']),
        ("clients: [{name: a, tokens: [{file: none}]}]",
         ['clients[0].tokens[0].file: cannot read "none": No such file or directory']),
        ("clients: [{name: a, tokens: [{file: empty}]}]",
         ['clients[0].tokens[0].file: "empty" must hold one token, of printable ASCII without spaces']),
        ("clients: [{name: a, tokens: [{file: two}]}]",
         ['clients[0].tokens[0].file: "two" must hold one token, of printable ASCII without spaces']),
        ("clients: [{name: a, tokens: [{file: binary}]}]",
         ['clients[0].tokens[0].file: "binary" must hold one token, of printable ASCII without spaces']),
        ("clients: [{name: a, tokens: [{file: token}]}, {name: a, tokens: [{file: images}]}]",
         ['clients[1].name: "a" is there twice']),
        ("clients: [{name: a, tokens: [{file: token}]}, {name: b, tokens: [{file: token}]}]",
         ["clients[1].tokens: has a token that clients[0] has too; a token must tell who it is"]),
        (CLIENT + "backends: [{name: a}]",
         ["backends[0]: needs tokens or certificates with which it registers, or an address to dial"]),
        (CLIENT + "backends: [{name: a, certificates: [x]}]",
         ["backends[0].certificates: need tls.grpc.client_ca, against which they are verified"]),
        (CLIENT + "backends: [{name: a, address: 'x:1', call_tls: {certificate: token}}]",
         ["backends[0].call_tls: certificate and key go together"]),
        (CLIENT + "backends: [{name: a, address: 'x:1', call_token: {file: none}}]",
         ['backends[0].call_token.file: cannot read "none": No such file or directory']),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images, owners, images]}]",
         ['routes[0].backends[1]: no backend "owners" is configured',
          'routes[0].backends[2]: "images" is there twice']),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images]}, {name: r, backends: [images]}]",
         ['routes[1].name: "r" is there twice']),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images], deadline: 0s}]",
         ["routes[0].deadline: must be more than nothing"]),
        (CLIENT + "tls: {http: {certificate: none, key: none}}",
         ["tls.http: cannot use these files: No such file or directory"]),
    ],
    ids=["no client", "no deadline", "no lease", "no colon", "two addresses", "a store", "a store without a file",
         "a file that is not there", "an empty file", "two tokens", "a binary token", "a client twice",
         "a token of two", "a backend that nobody lets in", "certificates without an authority", "half a pair",
         "a token to show that is not there", "members", "a route twice", "a route without time", "no certificate"],
)  # fmt: skip
def test_each_mistake_is_a_message_with_its_place_and_its_reason(folder: Path, text: str, found: list[str]) -> None:
    (folder / "empty").write_text("\n")
    (folder / "two").write_text("one two\n")
    (folder / "binary").write_bytes(b"\xff\xfe")
    assert mistakes(folder, text) == found


def test_all_mistakes_are_found_at_once(folder: Path) -> None:
    assert len(mistakes(folder, "store: x\nlisten: {http: x}\nbackends: [{name: a}]\n")) == 4


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: [", "not YAML: "),
        ("\na: " + "[" * 100_000, "not YAML: nested deeper than 32 levels, in line 2"),
        ("- " * 100_000, "not YAML: nested deeper than 32 levels, in line 1"),
        ("clients: &a\n- b: *a", "not YAML: found unconstructable recursive node"),
        ("limits: {max_depth: 201}", "limits.max_depth: expected "),
        ("deadline: 5s\ndeadline: 6s", 'not YAML: key "deadline" is there twice, again in line 2'),
        ("listen:\n  http: ':1'\n  http: ':2'", 'not YAML: key "http" is there twice, again in line 3'),
        ("- a", "expected a mapping of settings"),
        ("text", "expected a mapping of settings"),
        ("a: !!python/object/apply:os.system [x]", "not YAML: "),
        ("a: \x00", "not YAML: "),
        ("{{ .Values.hub }}: x", ""),
        ("deadline: {{ .Values.deadline }}", ""),
        ("[a]: x", ""),
        ("1: x", ""),
    ],
    ids=["broken", "deep lists", "deep blocks", "a list in itself", "a limit that is too high", "a key twice",
         "a key twice inside", "a list", "a text", "a tag", "a control character",
         "a template for a key", "a template for a value", "a list for a key", "a number for a key"],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_one_message(folder: Path, text: str, mistake: str) -> None:
    (found,) = mistakes(folder, text)
    assert mistake in found


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    for path, reason in ((folder / "none.yaml", "No such file"), (folder, "Is a directory")):
        with pytest.raises(ConfigurationError, match=reason) as wrong:
            load(Source(path=path), {})
        assert str(wrong.value).startswith(f"{path}: cannot read it")
    (folder / "latin.yaml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigurationError, match="cannot read it: it is not UTF-8"):
        load(Source(path=folder / "latin.yaml"), {})


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "On", "NO", "2024-01-01", "2024-01-01T00:00:00Z"])
def test_a_word_is_a_text_as_people_mean_it(folder: Path, word: str) -> None:
    text = CLIENT + BACKEND + f"routes: [{{name: r, backends: [images], unique_by: [{word}]}}]"
    assert loaded(folder, text).routes[0].rules.unique_by == (word,)


@pytest.mark.parametrize("word", ["true", "False", "null", "~", "1.5"])
def test_what_is_no_text_in_yaml_1_2_is_none(folder: Path, word: str) -> None:
    text = CLIENT + BACKEND + f"routes: [{{name: r, backends: [images], unique_by: [{word}]}}]"
    (found,) = mistakes(folder, text)
    assert found.startswith('routes[0].unique_by[0]: expected "str", got ')


@pytest.mark.parametrize(
    "text",
    ['deadline: "25s\\n"', 'guard: {max_drop: "50%\\n"}', 'clients: [{name: "a\\n", tokens: [{file: token}]}]'],
    ids=["a duration", "a percentage", "a name"],
)
def test_a_line_break_at_the_end_is_no_part_of_a_value(folder: Path, text: str) -> None:
    (found,) = mistakes(folder, text if "clients" in text else CLIENT + text)
    assert "expected" in found


def test_a_line_break_in_the_environment_is_a_mistake_too(folder: Path) -> None:
    (found,) = mistakes(folder, CLIENT, {"HUB_DEADLINE": "25s\n"})
    assert "expected a duration" in found


@pytest.mark.parametrize(
    ("environment", "mistake"),
    [
        ({"HUB_LIMITS_MAX_SETS": "many"}, "HUB_LIMITS_MAX_SETS: expected a whole number"),
        ({"HUB_DEADLINE": "soon"}, "deadline: expected a duration, as in 500ms, 25s or 30m"),
    ],
    ids=["a number", "a duration"],
)
def test_a_mistake_in_the_environment_is_named(folder: Path, environment: dict[str, str], mistake: str) -> None:
    assert mistakes(folder, CLIENT, environment) == [mistake]


def test_an_override_of_something_that_is_no_mapping_is_a_mistake(folder: Path) -> None:
    assert mistakes(folder, CLIENT + "listen: x", {"HUB_LISTEN_HTTP": ":1"}) == [
        "listen: expected a mapping of settings"
    ]


def test_settings_show_no_secret(folder: Path) -> None:
    authority = Authority()
    key, chain = authority.pair("hub")
    (folder / "key.pem").write_bytes(key)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "ca.pem").write_bytes(authority.ca_pem)
    settings = loaded(
        folder,
        CLIENT
        + """
admin: {tokens: [{file: admin}]}
tls: {grpc: {certificate: chain.pem, key: key.pem, client_ca: ca.pem}}
backends:
  - {name: images, tokens: [{file: images}], certificates: [images.example]}
  - {name: legacy, address: "x:1", call_token: {file: owners},
     call_tls: {ca: ca.pem, certificate: chain.pem, key: key.pem, server_name: legacy.example}}
""",
    )
    assert settings.backends[1].call_key == key
    assert settings.backends[1].call_token == "secret-owners"
    assert settings.admin_tokens == ("secret-admin",)
    shown = repr(settings)
    assert "secret-" not in shown
    assert "PRIVATE KEY" not in shown
    assert {str(folder / name) for name in ("hub.yaml", "token", "images", "owners", "admin", "key.pem", "ca.pem")} <= (
        set(settings.watched)
    )


def test_a_mistake_shows_no_secret(folder: Path) -> None:
    found = mistakes(folder, "clients: [{name: a, tokens: [{file: token}]}, {name: b, tokens: [{file: token}]}]")
    assert "secret" not in str(found)


def test_for_development_nothing_has_to_be_written() -> None:
    settings = load(Source(path=None, dev=True), {})
    assert settings.dev
    assert settings.store == "memory:"
    assert all(address.loopback for address in (settings.listen.http, settings.listen.grpc, settings.listen.admin))


def test_development_is_for_loopback_only(folder: Path) -> None:
    found = mistakes(folder, "listen: {http: ':4355', grpc: '127.0.0.1:4356', admin: 'localhost:4357'}", dev=True)
    assert found == ["listen.http: with --dev the hub listens on loopback only, as in 127.0.0.1:4355"]


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [(":1", Address("", 1), ":1"), ("h:2", Address("h", 2), "h:2"), ("[::1]:3", Address("::1", 3), "[::1]:3")],
)
def test_an_address_is_a_host_and_a_port(folder: Path, text: str, address: Address, shown: str) -> None:
    found = loaded(folder, CLIENT + f"listen: {{http: '{text}'}}").listen.http
    assert (found, str(found)) == (address, shown)
    assert found.loopback is (address.host == "::1")


def test_the_json_schema_can_be_published() -> None:
    schema = msgspec.json.schema(File)
    assert json.dumps(schema)
    assert all("description" in one for one in schema["$defs"]["Route"]["properties"].values() if "$ref" not in one)
