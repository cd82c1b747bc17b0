"""The backend `http-plugin`: what it sends, what it passes on, and its configuration."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
from appset_hub import BackendFault
from appset_hub.testing import FakeHub

from backends.documents import parse_document
from backends.http_plugin import KIND
from backends.http_plugin.backend import HttpPluginBackend
from backends.mistakes import Mistake
from tests.backends.plugin_rig import RawPlugin, attached, command, configure, documentation, ok, sample
from tests.support.proxies import Proxy

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b'{"output":{"parameters":[{"a":"x"}]}}'


async def test_the_sample_of_the_documentation_answers_through_the_hub(tmp_path: Path) -> None:
    page = documentation()
    async with sample(page, tmp_path) as base_url, attached(configure(tmp_path, base_url)) as hub:
        assert await hub.ask("fake-appset", {"param1": "value1"}) == [
            {"key1": "val1", "key2": "val2"},
            {"key1": "val2", "key2": "val2"},
        ]


async def test_the_sample_that_refuses_a_token_and_answers_all_the_same_is_an_error(tmp_path: Path) -> None:
    page = documentation()
    path = configure(tmp_path, "http://{}", token="wrong")
    async with sample(page, tmp_path) as base_url:
        path.write_text(path.read_text().replace("http://{}", base_url))
        async with attached(path) as hub:
            with pytest.raises(BackendFault, match="status 403; is the token in token_file the one"):
                await hub.ask("fake-appset")


async def test_the_plugin_is_asked_as_argo_cd_asks(tmp_path: Path) -> None:
    plugin = RawPlugin(ok(GOOD))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}/team/")) as hub:
        await hub.ask("fb-matrix", {"branch": "a", "big": 2**70, "list": [True, None]}, namespace="argocd")
        await hub.ask("plain")
    head, _, body = plugin.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /team/api/v1/getparams.execute HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer strong-password\r\n" in head
    assert b"\r\nContent-Type: application/json" in head
    assert json.loads(body) == {
        "applicationSetName": "fb-matrix",
        "applicationSetNamespace": "argocd",
        "input": {"parameters": {"branch": "a", "big": 2**70, "list": [True, None]}},
    }
    assert json.loads(plugin.requests[1].partition(b"\r\n\r\n")[2]) == {"applicationSetName": "plain", "input": {}}


async def test_an_answer_is_passed_on_exactly(tmp_path: Path) -> None:
    sets = '[{"big":123456789012345678901234567890,"n":-0.5,"t":"\\u00e9\\n","deep":{"a":[{},[],null,true]},"":0}]'
    plugin = RawPlugin(ok(f'{{"output":{{"parameters":{sets}}},"more":1}}'.encode()))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        assert await hub.ask("set") == json.loads(sets)


async def test_the_plugin_is_asked_past_a_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = RawPlugin(ok(GOOD))
    with Proxy() as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
            assert await hub.ask("set") == [{"a": "x"}]
        assert proxy.asked == []


async def test_a_new_token_counts_from_the_next_question_on(tmp_path: Path) -> None:
    plugin = RawPlugin(ok(GOOD))
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        await hub.ask("set")
        (tmp_path / "token").write_text("new")
        await hub.ask("set")
        (tmp_path / "token").unlink()
        with pytest.raises(BackendFault, match=r"token_file: .*token: cannot be read"):
            await hub.ask("set")
    assert [b"Bearer strong-password\r\n" in plugin.requests[0], b"Bearer new\r\n" in plugin.requests[1]] == [True] * 2
    assert len(plugin.requests) == 2


async def test_the_plugin_notices_when_nobody_waits_any_more(tmp_path: Path) -> None:
    plugin = RawPlugin(None)
    async with plugin.serving(), attached(configure(tmp_path, f"http://127.0.0.1:{plugin.port}")) as hub:
        asking = asyncio.create_task(hub.ask("set"))
        await plugin.asked.wait()
        asking.cancel()
        await plugin.left.wait()


async def test_the_hub_may_keep_an_answer_for_as_long_as_the_configuration_says(tmp_path: Path) -> None:
    plugin = RawPlugin(ok(GOOD))
    async with plugin.serving():
        path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}", "fresh_for_s: 30\n")
        async with attached(path) as hub:
            assert (await hub.reply("set")).fresh_for_s == 30


async def test_the_command_attaches_answers_and_leaves_well(tmp_path: Path) -> None:
    plugin, hub = RawPlugin(ok(GOOD)), FakeHub()
    async with plugin.serving(), hub.serving():
        path = configure(tmp_path, f"http://127.0.0.1:{plugin.port}", "application_sets: [x]\n")
        async with command("http-plugin", "--config", path, "--hub", hub.address, "--name", "legacy") as process:
            [stream] = await hub.attached()
            assert (stream.hello.name, list(stream.hello.application_sets)) == ("legacy", ["x"])
            assert await hub.ask("x") == [{"a": "x"}]
            process.send_signal(signal.SIGTERM)
            _, said = await process.communicate()
            assert process.returncode == 0
    # A session that nobody closed would be complained of.
    assert b"Unclosed" not in said
    assert b"strong-password" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{}", "missing required field `base_url`", id="nothing"),
        pytest.param("{base_url: 'http://a', token_file: token, tokn: 1}", "unknown field `tokn`", id="unknown"),
        pytest.param("{base_url: 'ftp://a', token_file: token}", "base_url: must be http://HOST", id="scheme"),
        pytest.param("{base_url: 'http://', token_file: token}", "base_url: must be http://HOST", id="no host"),
        pytest.param("{base_url: 'http://a:b', token_file: token}", "base_url: Port could not", id="port"),
        pytest.param("{base_url: 'http://u:s3cret@a', token_file: token}", "come from files", id="credentials"),
        pytest.param("{base_url: 'http://a/?b', token_file: token}", "base_url: must have no query", id="query"),
        pytest.param("{base_url: 'http://a', token_file: nope}", "nope: cannot be read", id="no token"),
        pytest.param("{base_url: 'http://a', token_file: empty}", "empty: is empty", id="an empty token"),
        pytest.param("{base_url: 'http://a', token_file: lines}", "lines: must hold one line", id="two lines"),
        pytest.param("{base_url: 'https://a', token_file: token, ca_file: nope}", "nope: cannot be read", id="no CA"),
        pytest.param("{base_url: 'https://a', token_file: token, ca_file: token}", "holds no certificates", id="CA"),
        pytest.param("{base_url: 'http://a', token_file: token, ca_file: token}", "say https", id="CA for HTTP"),
        pytest.param("{base_url: 'http://a', token_file: token, timeout_s: 0}", "timeout_s: ", id="timeout"),
    ],
)
def test_a_mistake_names_the_file_and_the_place_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    path = configure(tmp_path, "http://a", token="s3cret")
    path.write_text(text)
    (tmp_path / "empty").touch()
    (tmp_path / "lines").write_text("s3cret\ns3cret")
    with pytest.raises(Mistake) as caught:
        HttpPluginBackend.open(path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_schema_takes_what_is_right_and_refuses_mistakes(tmp_path: Path) -> None:
    validator = jsonschema_rs.validator_for(json.dumps(KIND.schema()))
    path = configure(tmp_path, "http://a", "timeout_s: 5\nca_file: ca.pem\napplication_sets: [a]\n")
    document = parse_document(path.read_bytes(), path)
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "baseUrl": "http://a"})
    assert not validator.is_valid({**document, "timeout_s": 0})
