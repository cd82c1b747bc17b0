"""How commands find the hub: the order, what they read of a configuration, and where a token goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hub.cli import main
from tests.support.peers import Peer, response

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HELD = {
    "id": "5ee72c51",
    "subject": {
        "client": "argocd",
        "route": "previews",
        "application_set_name": "fb-1",
        "application_set_namespace": "",
        "input_digest": "00",
    },
    "answer_digest": "00",
    "went": 8,
    "before": 10,
    "sets": 2,
    "missing": ["a"],
    "since_s": 0,
}
NOTHING = response(b"[]")
ACCEPTED = response(json.dumps(HELD).encode())
SETS = response(b'{"output": {"parameters": [{"a": "b"}]}}')


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), env=env)


def configure(folder: Path, name: str, admin: int = 9, http: int = 9, token: str = "admin", **settings: Any) -> Path:
    """Write a configuration whose secrets are not on this machine, but for those that a test puts there."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    document = {
        "listen": {"admin": f"127.0.0.1:{admin}", "http": f"127.0.0.1:{http}"},
        "tls": {"grpc": {"certificate": "/none/tls.crt", "key": "/none/tls.key"}},
        "clients": [{"name": "argocd", "tokens": [{"file": "/none/argocd"}]}],
        "backends": [{"name": "images", "tokens": [{"file": "/none/images"}]}],
        "admin": {"tokens": [{"file": token}] if token else []},
        **settings,
    }
    file.write_text(json.dumps(document))
    return file


def test_each_way_comes_before_the_next(folder: Path) -> None:
    with Peer(NOTHING) as flag, Peer(NOTHING) as config, Peer(NOTHING) as variable, Peer(NOTHING) as local:
        named = str(configure(folder, "other/named.yaml", config.port))
        environment = {"HUB_CONFIG": str(configure(folder, "other/variable.yaml", variable.port))}
        configure(folder, "hub.yaml", local.port)
        asked = [flag, config, variable, local]
        for arguments, env, wanted in (
            (["--admin", flag.url, "--config", named], environment, flag),
            (["--config", named], environment, config),
            ([], environment, variable),
            ([], {"HUB_CONFIG": ""}, local),
            ([], None, local),
            ([], {**environment, "HUB_ADMIN": flag.url}, flag),
            (["--config", named], {"HUB_ADMIN": flag.url}, config),
        ):
            before = [len(peer.heads) for peer in asked]
            done = run("held", *arguments, env=env)
            assert (done.exit_code, done.stdout) == (0, "nothing is held\n"), done.output
            grown = [peer for peer, count in zip(asked, before, strict=True) if len(peer.heads) > count]
            assert grown == [wanted]


@pytest.mark.parametrize(
    ("arguments", "url", "option"),
    [(["held"], "http://127.0.0.1:4357", "--admin"), (["call", "fb-1"], "http://127.0.0.1:4355", "--url")],
    ids=["held", "call"],
)
def test_without_any_of_them_it_is_the_default_port_of_this_machine(
    arguments: list[str], url: str, option: str
) -> None:
    done = run(*arguments, "--timeout", "0.2")
    # Something may listen there on a developer's machine.
    if done.exit_code == 3:
        assert f"{url} (the default; there is no {option}, --config, HUB_CONFIG or ./hub.yaml)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "found"),
    [
        (["--admin", "http://127.0.0.1:9"], {}, "(--admin)"),
        ([], {"HUB_ADMIN": "http://127.0.0.1:9"}, "(HUB_ADMIN)"),
        (["--config", "other.yaml"], {}, "(--config other.yaml)"),
        ([], {"HUB_CONFIG": "other.yaml"}, "(HUB_CONFIG=other.yaml)"),
        ([], {}, "(./hub.yaml)"),
    ],
    ids=["--admin", "HUB_ADMIN", "--config", "HUB_CONFIG", "hub.yaml"],
)
def test_a_hub_that_is_not_there_is_named_with_how_it_was_found(
    folder: Path, arguments: list[str], env: dict[str, str], found: str
) -> None:
    configure(folder, "hub.yaml")
    configure(folder, "other.yaml")
    done = run("held", *arguments, env=env)
    assert done.exit_code == 3, done.output
    assert f"cannot reach the hub at http://127.0.0.1:9 {found}: " in done.stderr


@pytest.mark.parametrize("arguments", [["held"], ["accept", "5ee72c51"], ["call", "fb-1"]], ids=lambda words: words[0])
@pytest.mark.parametrize("text", ["[", "lisen: {}", None], ids=["not YAML", "an unknown key", "missing"])
def test_a_configuration_that_cannot_be_used_is_named_with_how_it_was_found(
    folder: Path, arguments: list[str], text: str | None
) -> None:
    if text is not None:
        (folder / "broken.yaml").write_text(text)
    done = run(*arguments, env={"HUB_CONFIG": "broken.yaml"})
    assert done.exit_code == 2, done.output
    option = "--url" if arguments[0] == "call" else "--admin"
    assert f"cannot use the configuration (HUB_CONFIG=broken.yaml); correct it, or use {option} URL" in done.stderr


@pytest.mark.parametrize("arguments", [["held"], ["accept", "5ee72c51"], ["call", "fb-1"]], ids=lambda words: words[0])
def test_an_error_that_does_not_concern_a_command_keeps_nobody_from_a_hub_that_runs(
    folder: Path, arguments: list[str]
) -> None:
    (folder / "token").write_text("token\n")
    token = {"tokens": [{"file": "token"}]}
    wrong: dict[str, Any] = {"deadline": 25, "routes": [{"name": "previews"}]}
    configure(folder, "hub.yaml", clients=[{"name": "argocd", **token}], admin=9, **wrong)
    (folder / "admin").write_text("admin-token\n")
    done = run(*arguments)
    assert "cannot reach the hub at http://127.0.0.1:9 (./hub.yaml): " in done.stderr, done.output


def test_a_change_needs_no_file_of_the_configuration_but_the_admin_token(folder: Path) -> None:
    (folder / "admin").write_text("admin-token\n")
    with Peer(ACCEPTED) as peer:
        configure(folder, "hub.yaml", peer.port)
        done = run("accept", "5ee72c51")
        assert done.exit_code == 0, done.output
        assert "Authorization: Bearer admin-token\r\n" in peer.heads[0]


def test_an_admin_token_that_cannot_be_read_fails_only_what_needs_it(folder: Path) -> None:
    with Peer(NOTHING) as peer:
        configure(folder, "hub.yaml", peer.port)
        assert run("held").exit_code == 0
        assert not any("Authorization" in head for head in peer.heads)
        looked = len(peer.heads)
        done = run("accept", "5ee72c51")
        assert done.exit_code == 2
        assert 'cannot read the token in "admin" (admin.tokens[0] of ./hub.yaml): No such file' in done.stderr
        assert len(peer.heads) == looked


@pytest.mark.parametrize(
    ("arguments", "env", "token"),
    [
        (["--config", "dev.yaml"], {}, "dev"),
        (["--config", "dev.yaml", "--admin-token-file", "flag"], {}, "flag"),
        (["--config", "tokenless.yaml"], {}, ""),
        ([], {"HUB_CONFIG": "dev.yaml"}, "production"),
        ([], {}, "production"),
        (["--config", "dev.yaml", "--admin", "{url}"], {}, "production"),
        (["--admin", "{url}"], {}, "production"),
    ],
    ids=["--config", "--admin-token-file", "no token", "HUB_CONFIG", "./hub.yaml", "--admin and --config", "--admin"],
)
def test_the_token_of_the_environment_is_not_sent_to_the_hub_of_a_config_flag(
    folder: Path, arguments: list[str], env: dict[str, str], token: str
) -> None:
    for name in ("dev", "flag", "production"):
        (folder / name).write_text(name)
    with Peer(ACCEPTED) as peer:
        configure(folder, "hub.yaml", peer.port)
        configure(folder, "dev.yaml", peer.port, token="dev")
        configure(folder, "tokenless.yaml", peer.port, token="")
        given = [argument.format(url=peer.url) for argument in arguments]
        done = run("accept", "5ee72c51", *given, env={"HUB_ADMIN_TOKEN_FILE": "production", **env})
        assert done.exit_code == 0, done.output
        assert peer.heads[0].partition("Authorization: Bearer ")[2].partition("\r\n")[0] == token


def test_the_token_of_a_configuration_is_not_sent_to_another_hub(folder: Path) -> None:
    (folder / "admin").write_text("admin-token")
    configure(folder, "hub.yaml")
    with Peer(ACCEPTED) as peer:
        assert run("accept", "5ee72c51", "--admin", peer.url).exit_code == 0
        assert "Authorization" not in peer.heads[0]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"])
@pytest.mark.parametrize(
    "arguments", [["accept", "5ee72c51", "--admin"], ["call", "fb-1", "--url"]], ids=["admin", "call"]
)
def test_nothing_goes_through_a_proxy(folder: Path, variable: str, arguments: list[str]) -> None:
    token = folder / "token"
    token.write_text("secret")
    flag = "--token-file" if arguments[0] == "call" else "--admin-token-file"
    reply = SETS if arguments[0] == "call" else ACCEPTED
    with Peer(reply) as hub, Peer(reply) as proxy:
        done = run(*arguments, hub.url, flag, str(token), env={variable: proxy.url})
        assert done.exit_code == 0, done.output
        assert "Bearer secret" in hub.heads[0]
        assert proxy.heads == []


def test_a_redirect_takes_no_token_along(folder: Path) -> None:
    (folder / "token").write_text("secret")
    with Peer(ACCEPTED) as other:
        elsewhere = response(b"", status="307 Moved", more=f"Location: {other.url}/\r\n")
        with Peer(elsewhere) as peer:
            done = run("accept", "5ee72c51", "--admin", peer.url, "--admin-token-file", "token")
            assert done.exit_code == 3, done.output
        assert other.heads == []


@pytest.mark.parametrize("listen", ["[::1]:{}", "[::]:{}"])
def test_a_hub_that_listens_on_ipv6_is_found(folder: Path, listen: str) -> None:
    with Peer(NOTHING, host="::1") as peer:
        configure(folder, "hub.yaml", listen={"admin": listen.format(peer.port)})
        assert run("held").exit_code == 0
        assert f"Host: [::1]:{peer.port}\r\n" in peer.heads[0]
        assert run("held", "--admin", f"http://[::1]:{peer.port}").exit_code == 0


@pytest.mark.parametrize("listen", [":{}", "0.0.0.0:{}"])
def test_a_hub_that_listens_on_every_address_is_found_on_loopback(folder: Path, listen: str) -> None:
    with Peer(NOTHING) as peer:
        configure(folder, "hub.yaml", listen={"admin": listen.format(peer.port)})
        assert run("held").exit_code == 0


def test_a_port_that_the_system_chooses_cannot_be_found(folder: Path) -> None:
    configure(folder, "hub.yaml", admin=0)
    done = run("held")
    assert done.exit_code == 2
    assert 'listen.admin is "127.0.0.1:0", which has no port to connect to' in done.stderr


def test_call_takes_the_port_and_the_token_of_the_configuration(folder: Path) -> None:
    (folder / "first").write_text("first-token")
    (folder / "second").write_text("second-token")
    clients = [{"name": name, "tokens": [{"file": name}]} for name in ("first", "second")]
    with Peer(SETS) as peer:
        configure(folder, "hub.yaml", http=peer.port, clients=clients)
        assert run("call", "fb-1").exit_code == 0
        assert run("call", "fb-1", "--client", "second").exit_code == 0
        assert run("call", "fb-1", "--token-file", "second").exit_code == 0
        tokens = [head.partition("Bearer ")[2].partition("\r\n")[0] for head in peer.heads]
        assert tokens == ["first-token", "second-token", "second-token"]


def test_call_needs_no_file_of_the_configuration_with_a_token_of_its_own(folder: Path) -> None:
    (folder / "mine").write_text("mine")
    with Peer(SETS) as peer:
        configure(folder, "hub.yaml", http=peer.port)
        assert run("call", "fb-1", "--token-file", "mine").exit_code == 0
        done = run("call", "fb-1")
        assert done.exit_code == 2
        assert 'cannot read the token in "/none/argocd" (tokens[0] of client "argocd" of ./hub.yaml)' in done.stderr


def test_call_sends_a_route_as_one_part_of_the_path() -> None:
    with Peer(SETS) as peer:
        assert run("call", "fb-1", "--url", f"{peer.url}/base/", "--route", "a/../b c").exit_code == 0
        assert peer.heads[0].startswith("POST /base/a%2F..%2Fb%20c/api/v1/getparams.execute HTTP/1.1\r\n")


def test_nothing_is_read_of_a_configuration_when_a_url_names_the_hub(folder: Path) -> None:
    (folder / "hub.yaml").write_text("[")
    with Peer(NOTHING) as peer:
        assert run("held", "--admin", peer.url).exit_code == 0
        assert run("backends", "list", "--admin", peer.url).exit_code == 0


def test_an_option_before_the_subcommand_is_not_ignored() -> None:
    done = run("backends", "--admin", "http://127.0.0.1:9", "list")
    assert done.exit_code == 2
    assert "write the options after list" in done.stderr
