"""Mistakes in the configuration: one message each, with its path and the reason, and exit code 2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.support.rig import Rig

GOOD: dict[str, Any] = {"clients": [{"name": "argocd", "tokens": [{"file": "tokens/argocd"}]}]}


def backend(**settings: Any) -> dict[str, Any]:
    return {"name": "images", "tokens": [{"file": "tokens/images"}], **settings}


def route(**settings: Any) -> dict[str, Any]:
    return {"name": "previews", "backends": ["images"], **settings}


MISTAKES = [
    pytest.param({"lisen": {}}, "lisen", "there is no such setting", id="an unknown key"),
    pytest.param(
        {"routes": [route(deadlin="1s")], "backends": [backend()]}, "routes[0].deadlin", "no such", id="an inner one"
    ),
    pytest.param({"clients": []}, "clients", "without any token", id="no token"),
    pytest.param({"clients": "argocd"}, "clients", "expected", id="a wrong type"),
    pytest.param({"deadline": "soon"}, "deadline", "expected a duration", id="no duration"),
    pytest.param({"deadline": "0s"}, "deadline", "more than nothing", id="no time"),
    pytest.param({"listen": {"http": "4355"}}, "listen.http", "host:port", id="no address"),
    pytest.param({"store": "file:x"}, "store", "sqlite:PATH", id="no store"),
    pytest.param(
        {"clients": [{"name": "argocd", "tokens": [{"file": "tokens/none"}]}]},
        "clients[0].tokens[0].file",
        'cannot read "tokens/none"',
        id="no token file",
    ),
    pytest.param(
        {"clients": [{"name": "argocd", "tokens": [{"file": "tokens/empty"}]}]},
        "clients[0].tokens[0].file",
        "must hold one token",
        id="an empty token file",
    ),
    pytest.param({"backends": [{"name": "Images"}]}, "backends[0].name", "DNS-1123", id="a bad name"),
    pytest.param({"backends": [{"name": "images"}]}, "backends[0]", "needs tokens", id="a backend nobody can be"),
    pytest.param(
        {"backends": [backend(), backend(tokens=[{"file": "tokens/argocd"}])]},
        "backends[1].name",
        "twice",
        id="a name twice",
    ),
    pytest.param(
        {"backends": [backend(), {**backend(), "name": "owners"}]},
        "backends[1].tokens",
        "a token that backends[0] has too",
        id="a token twice",
    ),
    pytest.param({"routes": [route()]}, "routes[0].backends[0]", 'no backend "images"', id="a member nobody is"),
    pytest.param({"routes": [route(backends=[])], "backends": [backend()]}, "routes[0].backends", "", id="no member"),
    pytest.param(
        {"tls": {"http": {"certificate": "none.pem", "key": "none.key"}}}, "tls.http", "No such file", id="no key"
    ),
]

NOT_YAML = [
    pytest.param("clients: [", "not YAML", id="not YAML"),
    pytest.param("- a\n- b\n", "expected a mapping", id="a list"),
    pytest.param("deadline: 1s\ndeadline: 2s\n", '"deadline" is there twice', id="a key twice"),
]


@pytest.fixture
def mistaken(rig: Rig) -> Rig:
    for name in ("argocd", "images"):
        rig.token(name)
    (rig.folder / "tokens" / "empty").write_text("\n")
    return rig


@pytest.mark.parametrize(("settings", "path", "reason"), MISTAKES)
def test_a_mistake_is_one_message_with_path_and_reason(
    mistaken: Rig, settings: dict[str, Any], path: str, reason: str
) -> None:
    mistaken.write(json.dumps({**GOOD, **settings}))
    done = mistaken.command("config", "check", "--json", "--config", "hub.yaml")
    assert done.code == 2, done
    [found] = done.json
    assert found.keys() == {"path", "reason"}
    assert found["path"] == path
    assert reason in found["reason"]


@pytest.mark.parametrize(("text", "reason"), NOT_YAML)
def test_a_file_that_is_no_configuration_is_one_message(mistaken: Rig, text: str, reason: str) -> None:
    mistaken.write(text)
    done = mistaken.command("config", "check", "--json", "--config", "hub.yaml")
    assert done.code == 2, done
    [found] = done.json
    assert reason in found["reason"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(json.dumps({**GOOD, "lisen": 1}), "lisen: there is no such setting", id="an unknown key"),
        pytest.param(json.dumps({**GOOD, "deadline": "0s"}), "deadline: must be more than nothing", id="a value"),
        pytest.param("clients: [", "hub.yaml: not YAML", id="not YAML"),
    ],
)
def test_serve_ends_with_the_same_line_as_config_check(mistaken: Rig, text: str, message: str) -> None:
    mistaken.write(text)
    served = mistaken.command("serve", "--config", "hub.yaml")
    checked = mistaken.command("config", "check", "--config", "hub.yaml")
    assert (served.code, checked.code) == (2, 2), (served, checked)
    assert served.err == checked.err
    [line] = served.err.splitlines()
    assert line.startswith(f"hub.yaml: {message}")


def test_every_mistake_is_found_at_once(mistaken: Rig) -> None:
    mistaken.write(json.dumps({**GOOD, "store": "x", "routes": [route()], "backends": [{"name": "owners"}]}))
    done = mistaken.command("config", "check", "--config", "hub.yaml")
    assert done.code == 2
    assert done.out == ""
    paths = [line.split(": ")[1] for line in done.err.splitlines()]
    assert sorted(paths) == ["backends[0]", "routes[0].backends[0]", "store"]


def test_a_file_that_is_not_there_is_named(mistaken: Rig) -> None:
    done = mistaken.command("config", "check", "--config", "none.yaml")
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("none.yaml: ")
    assert "No such file" in line


def test_a_bad_override_is_named(mistaken: Rig) -> None:
    mistaken.write(json.dumps(GOOD))
    done = mistaken.command("config", "check", "--config", "hub.yaml", env={"HUB_LIMITS_MAX_SETS": "many"})
    assert done.code == 2
    [line] = done.err.splitlines()
    assert "HUB_LIMITS_MAX_SETS: expected a whole number" in line


def test_flags_come_before_the_environment_and_that_before_the_file(mistaken: Rig) -> None:
    mistaken.write(json.dumps({**GOOD, "deadline": "1s", "store": "sqlite:file.db", "wait_for_absent": "4s"}))
    done = mistaken.command(
        *("config", "show", "--json", "--config", "hub.yaml", "--deadline", "3s"),
        env={"HUB_DEADLINE": "2s", "HUB_STORE": "memory:"},
    )
    assert (done.json["deadline"], done.json["store"], done.json["wait_for_absent"]) == ("3s", "memory:", "4s")
    assert done.json["listen"]["http"] == ":4355"


def test_a_port_that_is_taken_is_one_message(mistaken: Rig) -> None:
    mistaken.configure()
    hub = mistaken.hub()
    done = mistaken.command(
        *("serve", "--config", "hub.yaml", "--store", "memory:"), *("--http", f"127.0.0.1:{hub.http}")
    )
    assert done.code == 1, done
    assert f"127.0.0.1:{hub.http}" in done.err
    assert "Traceback" not in done.err
