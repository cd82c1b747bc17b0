"""The command `appset-hub-backend`, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from appset_hub.testing import FakeHub
from appset_hub.v1 import backend_pb2, backend_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO = Path(__file__).parents[2] / "examples" / "quickstart" / "hello.yaml"


@contextlib.asynccontextmanager
async def command(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from backends.cli import main; main()",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_static_attaches_answers_and_leaves_well(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    hub = FakeHub()
    options = ("--hub", None, "--name", "hello", "--token-file", token, "--log-format", "json")
    async with hub.serving():
        arguments = [hub.address if option is None else option for option in options]
        async with command("static", "--config", HELLO, *arguments) as process:
            [stream] = await hub.attached()
            assert (stream.hello.name, list(stream.hello.application_sets)) == ("hello", ["fake-appset"])
            assert stream.metadata["authorization"] == "Bearer s3cret"
            assert (await hub.ask("fake-appset"))[0] == {"key1": "val1", "key2": "val2"}
            process.send_signal(signal.SIGTERM)
            _, logged = await process.communicate()
            assert process.returncode == 0
    events = [json.loads(line) for line in logged.splitlines()]
    assert any(event["event"].startswith("attached to hub") for event in events)
    assert b"s3cret" not in logged


async def test_static_listens_and_registers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hub = FakeHub()
    async with hub.serving():
        options = ("--hub", hub.address, "--listen", address, "--address", address)
        async with command("static", "--config", HELLO, *options) as process:
            [lease] = await hub.registered()
            async with grpc.aio.insecure_channel(lease.address) as channel:
                health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert health.status == health_pb2.HealthCheckResponse.SERVING
                response = await backend_pb2_grpc.BackendServiceStub(channel).GetParams(
                    backend_pb2.GetParamsRequest(application_set_name="fake-appset", input_parameters_json=b"{}")
                )
                assert len(json.loads(response.parameters_json)) == 2
            process.send_signal(signal.SIGTERM)
            await process.communicate()
            assert process.returncode == 0
        assert hub.leases == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--config", "nope.yaml"], "nope.yaml: cannot be read: No such file or directory", id="no file"),
        pytest.param(
            ["--config", HELLO, "--hub", "hub"], 'hub: "hub": the port is missing; expected host:port', id="no port"
        ),
        pytest.param(["--config", HELLO, "--hub", "http://a:4355"], 'did you mean "a:4356"?', id="a web address"),
        pytest.param(["--config", HELLO, "--ca-file", HELLO], "ca_file: ", id="a CA that is none"),
        pytest.param(["--config", HELLO, "--admin", ":99999"], "--admin: ", id="an admin port that is none"),
        pytest.param(["--config", HELLO, "--name", "A"], 'name: "A" must be', id="no name"),
        pytest.param(["--config", HELLO, "--token-file", "nope"], 'token_file: cannot read "nope"', id="no token"),
        pytest.param(
            ["--config", HELLO, "--listen", "192.0.2.1:1"], 'listen: cannot listen on "192.0.2.1:1"', id="port"
        ),
    ],
)
async def test_a_mistake_is_one_line_and_exit_code_two(arguments: list[object], message: str) -> None:
    async with command("static", *arguments) as process:
        _, said = await process.communicate()
    assert process.returncode == 2
    lines = [line for line in said.decode().splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in said.decode()


async def test_the_schema_is_printed() -> None:
    async with command("static", "--print-schema") as process:
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert "StaticConfig" in json.loads(said)["$defs"]
