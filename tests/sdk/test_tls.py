"""TLS in both directions, with certificates made for the test."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from appset_hub import Backend, Connection, Pace, Question, running
from appset_hub.testing import FakeHub
from appset_hub.v1 import backend_pb2, backend_pb2_grpc

if TYPE_CHECKING:
    from pathlib import Path

QUICK = Pace(first_retry_s=0.01, longest_retry_s=0.05)
REQUEST = backend_pb2.GetParamsRequest(application_set_name="a", input_parameters_json=b"{}")


async def one(_question: Question) -> list[dict[str, Any]]:
    return [{"a": 1}]


BACKEND = Backend(function=one, name="images")


class Files:
    """A certificate authority, and the files of what it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def pair(self, name: str, host: str) -> dict[str, Any]:
        issued = self.authority.issue_cert(host)
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key_file))
        return {"cert_file": cert_file, "key_file": key_file}

    def hub(self, host: str, *, clients: bool) -> grpc.ServerCredentials:
        issued = self.authority.issue_cert(host)
        return grpc.ssl_server_credentials(
            [(issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems))],
            root_certificates=self.authority.cert_pem.bytes(),
            require_client_auth=clients,
        )


class Refused(logging.Handler):
    """Waits for the event that says why a backend is not attached."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "not attached" in record.getMessage():
            self.seen.set()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("clients", [False, True], ids=["the hub alone", "both sides"])
async def test_an_attached_backend_checks_the_hub_by_its_name(files: Files, *, clients: bool) -> None:
    hub = FakeHub()
    own: dict[str, Any] = files.pair("own", "images.example") if clients else {}
    async with hub.serving(credentials=files.hub("localhost", clients=clients)):
        connection = Connection(hub=f"localhost:{hub.port}", ca_file=files.ca_file, pace=QUICK, **own)
        async with running(BACKEND, connection) as served:
            await served.attached()
            await hub.attached()
            assert await hub.ask("a") == [{"a": 1}]


async def test_a_hub_with_another_name_is_not_believed(files: Files) -> None:
    hub = FakeHub()
    async with hub.serving(credentials=files.hub("other.example", clients=False)):
        connection = Connection(hub=f"localhost:{hub.port}", ca_file=files.ca_file, pace=QUICK)
        async with running(BACKEND, connection) as served:
            refused = Refused()
            logging.getLogger("appset_hub").addHandler(refused)
            attached = asyncio.create_task(served.attached())
            await refused.seen.wait()
            assert not attached.done()
            attached.cancel()
    logging.getLogger("appset_hub").removeHandler(refused)


async def test_a_dialled_backend_lets_in_who_has_a_certificate_and_follows_its_own(files: Files) -> None:
    pair, caller = files.pair("own", "localhost"), files.pair("caller", "hub.example")
    connection = Connection(listen="127.0.0.1:0", client_ca_file=files.ca_file, **pair)
    known = grpc.ssl_channel_credentials(
        files.ca_file.read_bytes(), caller["key_file"].read_bytes(), caller["cert_file"].read_bytes()
    )
    unknown = grpc.ssl_channel_credentials(files.ca_file.read_bytes())
    async with running(BACKEND, connection) as served:
        target = f"localhost:{await served.port()}"
        async with grpc.aio.secure_channel(target, known) as channel:
            response = await backend_pb2_grpc.BackendServiceStub(channel).GetParams(REQUEST, timeout=5)
            assert response.parameters_json == b'[{"a":1}]'
        async with grpc.aio.secure_channel(target, unknown) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await backend_pb2_grpc.BackendServiceStub(channel).GetParams(REQUEST, timeout=5)
        files.pair("own", "renewed.example")
        renewed = (("grpc.ssl_target_name_override", "renewed.example"), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(target, known, options=renewed) as channel:
            await backend_pb2_grpc.BackendServiceStub(channel).GetParams(REQUEST, timeout=5)
