"""The commands of ``appset-hub`` against a running hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import COMMANDS, run, until
from tests.e2e.support.rig import free_port

if TYPE_CHECKING:
    from tests.e2e.support.processes import Finished
    from tests.e2e.support.rig import Hub, Rig

ADMIN_TOKEN = "secret-of-operators"
SETS = [{"branch": "main", "replicas": 2}, {"branch": "next", "owner": "web"}]


class Operated:
    """A hub with the files that its operator has, and commands that find it."""

    def __init__(self, rig: Rig, hub: Hub) -> None:
        self.rig = rig
        self.hub = hub
        # The configuration says port 0, so that the commands are told as an operator's environment would.
        self._env = {
            "HUB_CONFIG": "hub.yaml",
            "HUB_LISTEN_HTTP": f"127.0.0.1:{hub.http}",
            "HUB_LISTEN_ADMIN": f"127.0.0.1:{hub.admin}",
        }

    def run(self, *arguments: object) -> Finished:
        return self.rig.command(*arguments, env=self._env)


@pytest.fixture(scope="module")
def operated(shared_rig: Rig) -> Operated:
    shared_rig.configure(
        wait_for_absent="100ms",
        backends=[
            shared_rig.backend("images", application_sets=["fb-*"]),
            shared_rig.backend("owners", application_sets=["own-*"]),
        ],
        routes=[{"name": "previews", "application_sets": ["pr-*"], "backends": ["images"], "deadline": "10s"}],
        admin={"tokens": [shared_rig.token("admin", ADMIN_TOKEN)]},
    )
    hub = shared_rig.hub()
    entries = [
        {"when": {"branch": "main"}, "parameters": SETS[:1]},
        {"when": {"depth": 1}, "parameters": SETS[1:]},
        {"when": {"none": True}, "parameters": []},
        {"when": {"all": ["x"]}, "parameters": SETS},
    ]
    shared_rig.static(
        "images",
        {"application_sets": ["fb-*"], "answers": entries},
        *("--hub", hub.grpc_address, "--token-file", shared_rig.folder / "tokens" / "images"),
    )
    owners = shared_rig.sdk("owners", hub, "--application-sets", "own-*")
    hub.joined("images", "owners")
    owners.stop()
    hub.event("instance_left", backend="owners")
    return Operated(shared_rig, hub)


def test_call_prints_a_table(operated: Operated) -> None:
    done = operated.run("call", "fb-1", "-p", 'all:=["x"]')
    assert done.code == 0, done
    assert [line.split() for line in done.out.splitlines()] == [
        ["branch", "replicas", "owner"],
        ["main", "2"],
        ["next", "web"],
    ]


@pytest.mark.parametrize(
    ("parameter", "sets"),
    [
        pytest.param("branch=main", SETS[:1], id="a text"),
        pytest.param("depth:=1", SETS[1:], id="a number"),
        pytest.param("none:=true", [], id="no sets"),
    ],
)
def test_call_takes_texts_and_json_and_prints_json(
    operated: Operated, parameter: str, sets: list[dict[str, object]]
) -> None:
    done = operated.run("call", "fb-1", "-p", parameter, "--json")
    assert done.code == 0, done
    assert done.json == sets


def test_call_warns_of_an_answer_without_sets(operated: Operated) -> None:
    done = operated.run("call", "fb-1", "-p", "none:=true")
    assert done.code == 0
    assert "would delete every Application" in done.out


def test_call_goes_where_a_base_url_and_a_token_file_say(operated: Operated) -> None:
    where = ("--url", f"http://127.0.0.1:{operated.hub.http}", "--token-file", "tokens/argocd")
    assert operated.run("call", "any", "--route", "previews", "-p", "branch=main", "--json", *where).json == SETS[:1]
    wrong = operated.run("call", "fb-1", "--url", where[1], "--token-file", "tokens/images")
    assert wrong.code == 1
    assert "403: " in wrong.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["call", "nobody"], 1, "404: ", id="nobody serves it"),
        pytest.param(["call", "fb-1", "-p", "branch=other"], 1, "400: ", id="the input is refused"),
        pytest.param(["call", "own-1"], 1, '503: backend "owners"', id="a backend is absent"),
        pytest.param(["call", "fb-1", "-p", "branch"], 2, '"branch" is not key=value', id="no value"),
        pytest.param(["call", "fb-1", "-p", "a:=["], 2, "is not JSON", id="no JSON"),
        pytest.param(["call", "fb-1", "-p", "a:=" + "[" * 9000], 2, "is not JSON", id="JSON that is too deep"),
        pytest.param(["call", "fb-1", "--url", "http://127.0.0.1:9"], 3, "cannot reach", id="no hub"),
        pytest.param(["call", "fb-1", "--client", "nobody"], 2, 'no client "nobody"', id="no client"),
        pytest.param(["routes", "--admin", "http://127.0.0.1:9"], 3, "cannot reach", id="no admin port"),
        pytest.param(["explain", "nobody"], 1, "no route and no backend serves", id="nobody to explain"),
        pytest.param(["backends", "forget", "nobody"], 1, "no such backend", id="nobody to forget"),
        pytest.param(
            ["backends", "forget", "owners", "--admin-token-file", "tokens/images"], 1, "403: ", id="no operator"
        ),
        pytest.param(["nothing"], 2, "No such command", id="no command"),
    ],
)
def test_a_no_is_a_message_and_an_exit_code(operated: Operated, arguments: list[str], code: int, words: str) -> None:
    done = operated.run(*arguments)
    assert done.code == code, done
    assert words in done.err
    assert "Traceback" not in done.err
    assert ADMIN_TOKEN not in done.err


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        pytest.param(["call", "fb-1", "-p", "branch=main"], list, id="call"),
        pytest.param(["explain", "fb-1"], dict, id="explain"),
        pytest.param(["routes"], list, id="routes"),
        pytest.param(["backends", "list"], list, id="backends list"),
        pytest.param(["backends", "forget", "images"], dict, id="backends forget"),
        pytest.param(["config", "check"], list, id="config check"),
        pytest.param(["config", "show"], dict, id="config show"),
        pytest.param(["config", "schema"], dict, id="config schema"),
    ],
)
def test_every_command_speaks_json(operated: Operated, arguments: list[str], kind: type) -> None:
    done = operated.run(*arguments, "--json")
    assert done.code == 0, done
    assert isinstance(done.json, kind)


def test_json_is_printed_also_for_a_no(operated: Operated) -> None:
    done = operated.run("explain", "nobody", "--json")
    assert done.code == 1, done
    assert done.json["refusal"].startswith("no route and no backend serves")


def test_explain_says_which_backends_and_why(operated: Operated) -> None:
    claimed = operated.run("explain", "fb-1").out
    assert "no configured route takes it" in claimed
    assert 'backend "images" claims it' in claimed
    assert "concat of images" in claimed
    routed = operated.run("explain", "pr-1").out
    assert 'route "previews" matches the name' in routed
    absent = operated.run("explain", "own-1", "--json").json
    assert (absent["backends"], absent["absent"]) == (["owners"], ["owners"])


def test_routes_and_backends_are_listed(operated: Operated) -> None:
    [head, line] = operated.run("routes").out.splitlines()
    assert head.split() == ["ROUTE", "APPLICATION", "SETS", "BACKENDS", "COMBINE", "DEADLINE", "UNIQUE", "BY", "FROZEN"]
    assert line.split() == ["previews", "pr-*", "images", "concat", "10", "s", "unknown", "-"]
    states = {one["name"]: one["state"] for one in operated.run("backends", "list", "--json").json}
    assert states == {"images": "ready", "owners": "absent"}
    listed = operated.run("backends", "list").out
    assert "attached" in listed
    assert "absent" in listed


def test_config_is_checked_and_shown_without_secrets(operated: Operated) -> None:
    assert operated.run("config", "check").out == "ok: 1 client, 2 backends, 1 route\n"
    shown = operated.run("config", "show")
    assert shown.code == 0
    assert "tokens/argocd" in shown.out
    assert "argocd-token" not in shown.out
    schema = json.loads(operated.run("config", "schema").out)
    assert "deadline" in json.dumps(schema)


@pytest.mark.parametrize("found", ["HUB_CONFIG", "hub.yaml"])
def test_the_command_in_a_409_works_as_it_is_pasted(rig: Rig, found: str) -> None:
    admin = free_port()
    rig.configure(
        listen={"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", "admin": f":{admin}"},
        backends=[rig.backend("images", application_sets=["fb-*"])],
        admin={"tokens": [rig.token("admin")]},
    )
    hub = rig.hub()
    ten = [{"name": str(number)} for number in range(10)]
    files = {"application_sets": ["fb-*"], "answers": [{"parameters": ten}]}
    rig.static("images", files, "--hub", hub.grpc_address, "--token-file", rig.folder / "tokens" / "images")
    hub.joined("images")
    assert hub.ask("fb-1").sets == ten
    (rig.folder / "images.json").write_text(json.dumps({**files, "answers": [{"parameters": ten[:2]}]}))
    until(lambda: hub.ask("fb-1").status == 409, "the shorter answer is held")
    _, found_command, arguments = hub.ask("fb-1").message.partition("run: appset-hub ")
    assert found_command
    # The other secrets of the hub need not be readable where the command runs.
    (rig.folder / "tokens" / "argocd").unlink()
    env = {"HUB_CONFIG": str(rig.config)} if found == "HUB_CONFIG" else {}
    done = run(COMMANDS / "appset-hub", *arguments.split(), cwd=Path("/") if env else rig.folder, env=env)
    assert done.code == 0, done
    assert hub.ask("fb-1").sets == ten[:2]


def test_a_hub_that_is_started_without_a_file_is_found_without_an_option(rig: Rig) -> None:
    ports = {name: free_port() for name in ("http", "grpc", "admin")}
    rig.dev_hub(*(part for name, port in ports.items() for part in (f"--{name}", f"127.0.0.1:{port}")))
    env = {"HUB_LISTEN_ADMIN": f"127.0.0.1:{ports['admin']}", "HUB_LISTEN_HTTP": f"127.0.0.1:{ports['http']}"}
    assert rig.command("held", env=env).out == "nothing is held\n"
    assert rig.command("call", "fb-1", env=env).code == 1
    assert rig.command("explain", "fb-1", env=env).code == 1


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_another_port_of_the_hub_is_neither_yes_nor_no(operated: Operated, port: str) -> None:
    done = operated.run("held", "--admin", f"http://127.0.0.1:{getattr(operated.hub, port)}")
    assert done.code == 3, done
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


def test_a_base_url_that_leads_to_the_admin_port_says_which_port_it_needs(operated: Operated) -> None:
    done = operated.run("call", "fb-1", "--url", f"http://127.0.0.1:{operated.hub.admin}")
    assert done.code == 1, done
    assert "baseUrl needs the HTTP port" in done.err
