"""From ``hub.yaml`` to settings: what overrides what, and each mistake in one message."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hub.config.file import File
from hub.config.load import Source, load, seconds
from hub.config.mistakes import ConfigurationError
from hub.config.read import Scalar, read, scalars
from hub.core.combine import Concat, First, Merge
from hub.core.elements import list_path
from hub.core.guard import GuardPolicy, TotalPolicy
from hub.core.settings import Address, Settings, StoreSettings
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CLIENT = "clients: [{name: argocd, tokens: [{file: token}]}]\n"
ADDRESS = 'expected an address such as ":4355" or "127.0.0.1:4355"'
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
    return [str(mistake).removeprefix(f"{folder}/") for mistake in wrong.value.mistakes]


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
    assert settings.store.url == f"sqlite:{folder}/appset-hub.db"
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
    assert (settings.claimed.wait_for_busy_s, settings.claimed.share_within_s) == (3.0, 1.0)
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
wait_for_busy: 2s
route_max_in_flight: 50
share_within: 100ms
guard: {mode: observe, release: {after: 30m}}
stale_if_error: {max_age: 1h}
cache: {fresh: 10s}
routes:
  - {name: a, backends: [images]}
  - {name: b, backends: [images], combine: first, deadline: 5s, wait_for_absent: 0s, guard: {mode: "off"},
     wait_for_busy: 0s, max_in_flight: 7, share_within: 0s,
     stale_if_error: {max_age: 2d}, cache: {max: 2m}, nulls: drop, echo: [env], parameters: {env: "p*"}}
"""
    )
    a, b = loaded(folder, text).routes
    assert (a.deadline_s, a.wait_for_absent_s, a.combine) == (20.0, 0.5, Concat())
    assert (a.wait_for_busy_s, a.max_in_flight, a.share_within_s) == (2.0, 50, 0.1)
    assert (b.wait_for_busy_s, b.max_in_flight, b.share_within_s) == (0.0, 7, 0.0)
    assert (a.trust.guard.mode, a.trust.guard.release_after_s) == ("observe", 1800.0)
    assert (a.trust.stale_max_age_s, a.trust.freshness.fresh_s) == (3600.0, 10.0)
    assert (b.deadline_s, b.wait_for_absent_s, b.combine) == (5.0, 0.0, First())
    assert (b.trust.guard.mode, b.trust.stale_max_age_s, b.trust.freshness.max_s) == ("off", 172_800.0, 120.0)
    assert (b.values.nulls, b.values.echo, b.parameters) == ("drop", ("env",), (("env", "p*"),))


@pytest.mark.parametrize(
    ("clients", "limit"),
    [("", 128), (", max_in_flight: 1000", 500), (", max_in_flight: 50", 25), (", max_in_flight: 1", 1)],
    ids=["by default", "a large client", "a small client", "the smallest client"],
)
def test_a_route_may_have_half_of_what_a_client_may_have(folder: Path, clients: str, limit: int) -> None:
    text = f"clients: [{{name: argocd, tokens: [{{file: token}}]{clients}}}]\n" + BACKEND
    settings = loaded(folder, text + "routes: [{name: a, backends: [images]}]\n")
    assert (settings.routes[0].max_in_flight, settings.claimed.max_in_flight) == (limit, limit)


def test_the_guard_has_limits_that_fit_the_size_and_one_for_all(folder: Path) -> None:
    text = (
        CLIENT
        + BACKEND
        + """
guard: {window: 2h, total: {max_drop: 5%, min_sets: 7}}
routes:
  - {name: a, backends: [images]}
  - {name: b, backends: [images], guard: {max_drop: 40%, window: 0s, max_change: 12.5%, count: "spec.list[].name"}}
"""
    )
    settings = loaded(folder, text)
    a, b = (route.trust.guard for route in settings.routes)
    total = TotalPolicy(max_drop=0.05, min_sets=7, window_s=7200.0)
    assert a == settings.claimed.trust.guard == GuardPolicy(window_s=7200.0, total=total)
    assert b == GuardPolicy(
        max_drop=0.4, window_s=0.0, max_change=0.125, total=total, count=list_path("spec.list[].name")
    )


@pytest.mark.parametrize(
    ("guard", "mistake"),
    [
        ("{total: 20%}", "guard.total: expected"),
        ("{total: {max_drop: 0.2}}", 'guard.total.max_drop: expected a percentage from "0%" to "100%"'),
        ("{window: 1}", 'guard.window: expected a duration such as "25s"'),
        ("{max_change: 101%}", 'guard.max_change: expected a percentage from "0%" to "100%"'),
        ('{count: "a..b"}', 'guard.count: expected the path of a list, such as "branches" or "spec.branches[].name"'),
        ('{count: "a[0]"}', "guard.count: expected the path of a list"),
        ('{count: ""}', "guard.count: expected the path of a list"),
    ],
    ids=["no mapping", "a number", "no unit", "more than all", "an empty key", "an index", "nothing"],
)
def test_a_mistake_in_the_guard_names_what_is_allowed(folder: Path, guard: str, mistake: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(mistake)):
        loaded(folder, CLIENT + f"guard: {guard}\n")


def test_total_is_for_the_whole_hub(folder: Path) -> None:
    text = CLIENT + BACKEND + "routes: [{name: a, backends: [images], guard: {total: {min_sets: 5}}}]\n"
    with pytest.raises(ConfigurationError, match=r"routes\[0\]\.guard\.total: unknown key"):
        loaded(folder, text)


def test_flags_are_over_the_environment_over_the_file_over_the_default(folder: Path) -> None:
    text = CLIENT + "deadline: 21s\nlisten: {http: ':1'}\nlimits: {max_sets: 7}\n"
    assert loaded(folder, text).claimed.deadline_s == 21.0
    environment = {"HUB_DEADLINE": "22s", "HUB_LISTEN_HTTP": ":2", "HUB_LIMITS_MAX_SETS": "8", "HUB_LOG_LEVEL": "debug"}
    assert loaded(folder, text, {"HUB_ROUTE_MAX_IN_FLIGHT": "7"}).claimed.max_in_flight == 7
    settings = loaded(folder, text, environment)
    assert (settings.claimed.deadline_s, settings.listen.http.port, settings.limits.answer.max_sets) == (22.0, 2, 8)
    assert settings.log_level == "debug"
    settings = loaded(folder, text, environment, {"deadline": "23s", "listen.http": ":3", "limits.max_sets": "9"})
    assert (settings.claimed.deadline_s, settings.listen.http.port, settings.limits.answer.max_sets) == (23.0, 3, 9)


@pytest.mark.parametrize("setting", list(scalars()), ids=lambda setting: setting.path)
def test_every_plain_setting_can_be_overridden(setting: Scalar) -> None:
    name = "HUB_" + setting.path.replace(".", "_").upper()
    taken = {
        value
        for value in ("7", "777777777", "7s", "7%", "observe", "human", "error")
        if is_taken({name: value}, {}, setting)
    }
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
        ("deadlin: 5s", '2: deadlin: unknown key; did you mean "deadline"?'),
        ("listen: {htp: ':1'}", '2: listen.htp: unknown key; did you mean "http"?'),
        (BACKEND + "routes: [{name: a, backends: [images], combin: first}]",
         '3: routes[0].combin: unknown key; did you mean "combine"?'),
        ("backends: [{tokens: [{file: images}]}]",
         ('2: backends[0].name: is required: a name such as "images" (a DNS-1123 label: up to 63 lower-case letters, '
         "digits and hyphens)")),
        ("backends: [{name: images, tokens: [{}]}]",
         "2: backends[0].tokens[0].file: is required: the path of a file"),
        ("deadline: 5", '2: deadline: expected a duration such as "25s", got the number 5'),
        ("deadline: 5 s", '2: deadline: expected a duration such as "25s", got "5 s"; the units are ms, s, m, h and d'),
        ("deadline: -5s", '2: deadline: expected a duration such as "25s", got "-5s"; the units are ms, s, m, h and d'),
        ("guard: {max_drop: half}",
         '2: guard.max_drop: expected a percentage from "0%" to "100%", such as "50%", got "half"'),
        ("backends: [{name: Argo CD, tokens: [{file: images}]}]",
         ('2: backends[0].name: expected a name such as "images" (a DNS-1123 label: up to 63 lower-case letters, '
          'digits and hyphens), got "Argo CD"')),
        ("backends: {}",
         ("2: backends: expected a list of {name: NAME, tokens: [{file: PATH}], application_sets: [PATTERN]}, got a "
         "mapping")),
        ("limits: {max_sets: 0}", "2: limits.max_sets: must be greater than zero, got 0"),
        ("limits: {max_sets: many}",
         '2: limits.max_sets: expected a whole number such as 100, got the text "many"'),
        ("log: {format: xml}", '2: log.format: expected "auto", "human" or "json", got "xml"'),
        ("log: {level: LOUD}", '2: log.level: expected "debug", "error", "info" or "warning", got "LOUD"'),
    ],
    ids=["a key", "a key inside", "a key in a list", "a name", "a file", "a number", "a space", "a minus",
         "a percentage", "a label", "a mapping", "none at all", "a text", "a format", "a level"],
)  # fmt: skip
def test_what_has_the_wrong_shape_is_one_message_with_its_place(folder: Path, text: str, mistake: str) -> None:
    assert mistakes(folder, CLIENT + text) == [f"hub.yaml:{mistake}"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [("hub.yaml: the file is empty; a minimal file is: "
              "clients: [{name: argocd, tokens: [{file: argocd.token}]}]")]),
        (CLIENT + "deadline: 0s", ["hub.yaml:2: deadline: must be greater than zero"]),
        (CLIENT + "limits: {lease: 0s}", ["hub.yaml:2: limits.lease: must be greater than zero"]),
        (CLIENT + "dial: {resolve_every: 500ms, check_after: 10s, give_up_after: 5s}",
         ["hub.yaml:2: dial.resolve_every: must be at least 1s",
          "hub.yaml:2: dial.give_up_after: must not be shorter than dial.check_after (10s)"]),
        (CLIENT + "limits: {heartbeat: 99ms}", ["hub.yaml:2: limits.heartbeat: must be at least 100ms"]),
        (CLIENT + "listen: {http: '4355'}", [f'hub.yaml:2: listen.http: {ADDRESS}, got "4355": did you mean ":4355"?']),
        (CLIENT + "listen: {http: 'h:x', admin: 'h:65536'}",
         [f'hub.yaml:2: listen.http: {ADDRESS}, got "h:x": "x" is not a port',
          f'hub.yaml:2: listen.admin: {ADDRESS}, got "h:65536": a port is at most 65535']),
        (CLIENT + "store: 'postgres://x'",
         ['hub.yaml:2: store: unknown engine "postgres"; expected "memory:" or "sqlite:PATH"']),
        (CLIENT + "store: 'sqlite:'",
         ['hub.yaml:2: store: expected "memory:" or "sqlite:PATH"; the path is missing']),
        ("clients: [{name: a, tokens: [{file: none}]}]",
         ["hub.yaml:1: clients[0].tokens[0].file: cannot read this file: No such file or directory"]),
        ("clients: [{name: a, tokens: [{file: empty}]}]",
         ['hub.yaml:1: clients[0].tokens[0].file: "empty" is empty; expected one token']),
        ("clients: [{name: a, tokens: [{file: two}]}]",
         [('hub.yaml:1: clients[0].tokens[0].file: "two" holds a token with whitespace inside; expected one token, '
          "nothing else")]),
        ("clients: [{name: a, tokens: [{file: binary}]}]",
         ['hub.yaml:1: clients[0].tokens[0].file: "binary" does not hold a token; expected printable ASCII']),
        ("clients: [{name: a, tokens: [{file: token}]}, {name: a, tokens: [{file: images}]}]",
         ['hub.yaml:1: clients[1].name: duplicate name "a" (also clients[0].name, line 1)']),
        ("clients: [{name: a, tokens: [{file: token}]}, {name: b, tokens: [{file: token}]}]",
         [('hub.yaml:1: clients[1].tokens[0].file: clients "a" and "b" share a token; each client needs its own '
          "(also clients[0].tokens[0].file, line 1)")]),
        (CLIENT + "backends: [{name: a}]",
         [('hub.yaml:2: backends[0]: backend "a" needs tokens or certificates to register with, or an address to '
          "connect to")]),
        (CLIENT + "backends: [{name: a, certificates: [x]}]",
         [("hub.yaml:2: backends[0].certificates: need tls.grpc.client_ca, the CA that client certificates are checked "
          "against")]),
        (CLIENT + "backends: [{name: a, address: 'x:1', call_tls: {certificate: token}}]",
         ["hub.yaml:2: backends[0].call_tls: certificate needs key as well"]),
        (CLIENT + "backends: [{name: a, address: 'x:1', call_token: {file: none}}]",
         ["hub.yaml:2: backends[0].call_token.file: cannot read this file: No such file or directory"]),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images, owners, images]}]",
         ['hub.yaml:3: routes[0].backends[1]: no backend "owners" is configured',
          'hub.yaml:3: routes[0].backends[2]: duplicate backend "images"']),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images]}, {name: r, backends: [images]}]",
         ['hub.yaml:3: routes[1].name: duplicate name "r" (also routes[0].name, line 3)']),
        (CLIENT + BACKEND + "routes: [{name: r, backends: [images], deadline: 0s}]",
         ["hub.yaml:3: routes[0].deadline: must be greater than zero"]),
        (CLIENT + "tls: {http: {certificate: none, key: none}}",
         ['hub.yaml:2: tls.http.certificate: cannot read "none": No such file or directory',
          "hub.yaml:2: tls.http.key: cannot read this file: No such file or directory"]),
    ],
    ids=["no client", "no deadline", "no lease", "no patience", "hasty heartbeats", "no colon", "two addresses",
         "a store", "a store without a file",
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
        ("a: [", "hub.yaml:3:1: not valid YAML: expected a value here; what starts on line 2 may not be closed"),
        ("\na: " + "[" * 100_000, "hub.yaml:3:67: nested deeper than 64 levels"),
        ("a:\n" + "- " * 100_000, "hub.yaml:3:127: nested deeper than 64 levels"),
        ("clients: &a\n- b: *a", 'hub.yaml:3:6: the alias "*a" refers to a value that contains it'),
        ("limits: {max_depth: 201}", "hub.yaml:2: limits.max_depth: must be at most 200"),
        ("deadline: 5s\ndeadline: 6s", 'hub.yaml:3:1: duplicate key "deadline"; it is also on line 2'),
        ("listen:\n  http: ':1'\n  http: ':2'", 'hub.yaml:4:3: duplicate key "http"; it is also on line 3'),
        ("deadline: !!python/object/apply:os.system [x]",
         'hub.yaml:2:11: the tag "!!python/object/apply:os.system" is not supported'),
        ("a: \x00", "hub.yaml:2:4: the control character U+0000 is not allowed in YAML"),
        ("{{ .Values.hub }}: x",
         "hub.yaml:2:1: a key must be text, not a mapping; quote it, or render the template if this is one ({{ … }})"),
        ("deadline: {{ .Values.deadline }}",
         "hub.yaml:2:12: a key must be text, not a mapping; quote it, or render the template if this is one ({{ … }})"),
        ("[a]: x", "hub.yaml:2:1: a key must be text, not a list; quote it, or render the template if this is one"),
        ("1: x", "hub.yaml:2: 1: unknown key; allowed are listen, tls, "),
    ],
    ids=["broken", "deep lists", "deep blocks", "a list in itself", "a limit that is too high", "a key twice",
         "a key twice inside", "a tag", "a control character", "a template for a key",
         "a template for a value", "a list for a key", "a number for a key"],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_one_message(folder: Path, text: str, mistake: str) -> None:
    (found, *_) = mistakes(folder, CLIENT + text)
    assert found.startswith(mistake)


@pytest.mark.parametrize(("text", "what"), [("- a", "a list"), ("text", "a single value"), ("5", "a single value")])
def test_a_file_that_is_no_mapping_is_told_what_a_minimal_one_is(folder: Path, text: str, what: str) -> None:
    assert mistakes(folder, text) == [
        (
            f"hub.yaml:1:1: expected a mapping of settings, got {what}; a minimal file is: "
            "clients: [{name: argocd, tokens: [{file: argocd.token}]}]"
        )
    ]


def test_a_file_that_cannot_be_read_is_named_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    (folder / "latin.yaml").write_bytes(b"# \xc3\xa4\na: \xe9")
    (folder / "wide.yaml").write_bytes("a: b".encode("utf-16"))
    (folder / "large.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    for path, reason in {
        folder / "none.yaml": ": cannot read the file: No such file or directory",
        folder: ": cannot read the file: it is a directory",
        folder / "pipe.yaml": ": cannot read the file: it is not a regular file",
        folder / "large.yaml": ": cannot read the file: it is larger than 4 MiB",
        folder / "latin.yaml": ":2:4: the file is not UTF-8: byte 0xe9; save it as UTF-8",
        folder / "wide.yaml": ": the file is UTF-16; save it as UTF-8",
    }.items():
        with pytest.raises(ConfigurationError) as wrong:
            load(Source(path=path), {})
        assert str(wrong.value) == f"{path}{reason}"


def test_a_byte_order_mark_and_other_line_ends_are_no_mistake(folder: Path) -> None:
    assert loaded(folder, "\ufeff" + CLIENT + "deadline: 5s\r\nwait_for_absent: 1s\r\n").claimed.deadline_s == 5.0
    assert mistakes(folder, "\ufeff" + CLIENT + "\r\nlog:\r\n  level: loud\r\n")[0].startswith(
        "hub.yaml:4: log.level: "
    )


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "On", "NO", "2024-01-01", "2024-01-01T00:00:00Z"])
def test_a_word_is_a_text_as_people_mean_it(folder: Path, word: str) -> None:
    text = CLIENT + BACKEND + f"routes: [{{name: r, backends: [images], unique_by: [{word}]}}]"
    assert loaded(folder, text).routes[0].rules.unique_by == (word,)


@pytest.mark.parametrize("word", ["true", "False", "null", "~", "1.5"])
def test_what_is_no_text_in_yaml_1_2_is_none(folder: Path, word: str) -> None:
    text = CLIENT + BACKEND + f"routes: [{{name: r, backends: [images], unique_by: [{word}]}}]"
    (found,) = mistakes(folder, text)
    assert found.startswith('hub.yaml:3: routes[0].unique_by[0]: expected a key such as "branch", got ')


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
        (
            {"HUB_LIMITS_MAX_SETS": "many"},
            'HUB_LIMITS_MAX_SETS: expected a whole number such as 100, got the text "many"',
        ),
        (
            {"HUB_DEADLINE": "soon"},
            'HUB_DEADLINE: expected a duration such as "25s", got "soon"; the units are ms, s, m, h and d',
        ),
    ],
    ids=["a number", "a duration"],
)
def test_a_mistake_in_the_environment_is_named(folder: Path, environment: dict[str, str], mistake: str) -> None:
    assert mistakes(folder, CLIENT, environment) == [mistake]


def test_an_override_of_something_that_is_no_mapping_is_a_mistake(folder: Path) -> None:
    assert mistakes(folder, CLIENT + "listen: x", {"HUB_LISTEN_HTTP": ":1"}) == [
        'hub.yaml:2: listen: expected a mapping with http, grpc, admin, got the text "x"'
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
    assert settings.store.url == "memory:"
    assert all(address.loopback for address in (settings.listen.http, settings.listen.grpc, settings.listen.admin))


def test_development_is_for_loopback_only(folder: Path) -> None:
    found = mistakes(folder, "listen: {http: ':4355', grpc: '127.0.0.1:4356', admin: 'localhost:4357'}", dev=True)
    assert found == ['hub.yaml:1: listen.http: with --dev the hub listens on loopback only, such as "127.0.0.1:4355"']
    unwritten = loaded(folder, CLIENT, dev=True).listen
    assert [str(address) for address in (unwritten.http, unwritten.grpc, unwritten.admin)] == [
        f"127.0.0.1:{port}" for port in (4355, 4356, 4357)
    ]


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


def test_a_backend_is_expected_unless_it_says_otherwise(folder: Path) -> None:
    (backend,) = loaded(folder, CLIENT + BACKEND).backends
    assert backend.grant.expected
    settings = loaded(folder, CLIENT + BACKEND.replace("application_sets", "expected: false, application_sets"))
    assert not settings.backends[0].grant.expected
    assert settings.warnings == ()
    settings = loaded(folder, CLIENT + "backends: [{name: images, tokens: [{file: images}], expected: false}]\n")
    assert any("without application_sets it claims nothing" in warning for warning in settings.warnings)


def test_a_store_may_be_expected_to_be_initialised(folder: Path) -> None:
    text = CLIENT + "store: {url: 'sqlite:a.db', expect: initialised}\n"
    assert loaded(folder, text).store == StoreSettings(url=f"sqlite:{folder}/a.db", expect_initialised=True)
    assert not loaded(folder, CLIENT + "store: {url: 'sqlite:a.db'}\n").store.expect_initialised
    assert not loaded(folder, CLIENT + "store: 'sqlite:a.db'\n").store.expect_initialised


@pytest.mark.parametrize("how", ["environment", "flags"])
def test_overriding_where_the_store_is_does_not_override_what_is_expected(folder: Path, how: str) -> None:
    text = CLIENT + "store: {url: 'sqlite:a.db', expect: initialised}\n"
    override = {"HUB_STORE": "sqlite:/b.db"} if how == "environment" else {"store": "sqlite:/b.db"}
    assert loaded(folder, text, **{how: override}).store == StoreSettings(url="sqlite:/b.db", expect_initialised=True)  # type: ignore[arg-type]  # one of its options.


@pytest.mark.parametrize(
    ("store", "mistake"),
    [
        ("{url: 'memory:', expect: initialised}", "store.expect: memory: is empty at each start"),
        ("{url: 'redis:x'}", 'store.url: unknown engine "redis"'),
        ("{url: 'sqlite:a', expect: full}", 'store.expect: expected "any" or "initialised", got "full"'),
        ("{expect: initialised}", "store.url: is required"),
        ("[a]", 'store: expected "memory:" or "sqlite:PATH", or {url: URL, expect: initialised}, got a list'),
    ],
)
def test_a_mistake_in_the_store_is_named(folder: Path, store: str, mistake: str) -> None:
    (found,) = mistakes(folder, f"{CLIENT}store: {store}\n")
    assert mistake in found


@pytest.mark.parametrize("value", ["maybe", "1", "[]"])
def test_whether_a_backend_is_expected_is_true_or_false(folder: Path, value: str) -> None:
    (found,) = mistakes(folder, CLIENT + BACKEND.replace("application_sets", f"expected: {value}, application_sets"))
    assert "backends[0].expected: expected true or false, got" in found
