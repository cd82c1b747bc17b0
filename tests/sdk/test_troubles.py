"""Why a backend is not connected: said in words that help, on real sockets, and not more often than they do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from aiohttp import web
from appset_hub import Backend, Connection, Pace, Question, running
from appset_hub.addresses import resolve_by_system
from appset_hub.testing import FakeHub
from appset_hub.troubles import Complaints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from appset_hub.addresses import Resolve

QUICK = Pace(
    first_retry_s=0.01,
    longest_retry_s=0.05,
    refused_retry_s=0.01,
    longest_refused_retry_s=0.05,
    resolve_s=0.05,
    welcome_s=30,  # A busy machine is no reason.
)


async def one(_question: Question) -> list[dict[str, Any]]:
    return [{"a": 1}]


BACKEND = Backend(function=one, name="images", application_sets=["fb-*", "x-*"])


class Said(logging.Handler):
    """Waits for warnings of the SDK."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self._changed.set()

    async def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Wait until what was said fits; return all of it."""
        async with asyncio.timeout(20):
            while not holds(self.texts):
                self._changed.clear()
                await self._changed.wait()
        return self.texts

    async def first(self) -> str:
        return (await self.until(bool))[0]


@contextlib.asynccontextmanager
async def said_while(connection: Connection, resolve: Resolve = resolve_by_system) -> AsyncIterator[Said]:
    said = Said()
    logger = logging.getLogger("appset_hub")
    logger.addHandler(said)
    try:
        async with running(BACKEND, connection, resolve=resolve):
            yield said
    finally:
        logger.removeHandler(said)


class Trusted:
    """A CA, the credentials of a hub that it signed, and files for backends."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.issued = authority.issue_cert("localhost")
        self.authority = authority.cert_pem.bytes()
        self.ca_file, self.other_file = folder / "ca.pem", folder / "other.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        trustme.CA().cert_pem.write_to_path(str(self.other_file))

    def credentials(self, *, clients: bool = False) -> grpc.ServerCredentials:
        chain = b"".join(blob.bytes() for blob in self.issued.cert_chain_pems)
        pairs = [(self.issued.private_key_pem.bytes(), chain)]
        return grpc.ssl_server_credentials(pairs, root_certificates=self.authority, require_client_auth=clients)


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    return Trusted(tmp_path)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_hub_that_is_not_there_is_a_refused_connection() -> None:
    async with said_while(Connection(hub=f"127.0.0.1:{free_port()}", pace=QUICK)) as said:
        text = await said.first()
    assert text.startswith("not attached to the hub at ipv4:127.0.0.1:")
    assert "connection refused: no hub listens there yet, or it uses another port (UNAVAILABLE)" in text


async def test_a_dialled_backend_says_the_same_of_its_registration() -> None:
    where: dict[str, Any] = {"listen": "127.0.0.1:0", "address": "images.svc:1"}
    async with said_while(Connection(hub=f"127.0.0.1:{free_port()}", pace=QUICK, **where)) as said:
        assert "trying again: connection refused: " in await said.first()


async def test_a_name_that_cannot_be_resolved_is_said_with_the_name_and_not_at_every_look() -> None:
    looks = asyncio.Semaphore(0)

    async def resolve(_host: str, _port: int) -> set[str]:
        looks.release()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with said_while(Connection(hub="appset-hub:4356", pace=QUICK), resolve) as said:
        for _ in range(4):
            await looks.acquire()
        [text] = said.texts
    assert text == (
        'cannot resolve the hub\'s name "appset-hub", trying again: Name or service not known; '
        "check the host in hub, and this machine's DNS"
    )


async def test_plain_text_to_a_port_with_tls_says_how_to_turn_tls_on(trusted: Trusted) -> None:
    hub = FakeHub()
    async with (
        hub.serving(credentials=trusted.credentials()),
        said_while(Connection(hub=f"127.0.0.1:{hub.port}", pace=QUICK)) as said,
    ):
        assert "if it speaks TLS (tls.grpc of the hub), set ca_file" in await said.first()


async def test_tls_to_a_port_without_it_says_how_to_turn_it_off(trusted: Trusted) -> None:
    hub = FakeHub()
    async with hub.serving():
        connection = Connection(hub=f"127.0.0.1:{hub.port}", ca_file=trusted.ca_file, pace=QUICK)
        async with said_while(connection) as said:
            assert "the port does not speak TLS, but ca_file turns TLS on" in await said.first()


async def test_another_authority_is_named_by_its_file(trusted: Trusted) -> None:
    hub = FakeHub()
    async with hub.serving(credentials=trusted.credentials()):
        connection = Connection(hub=f"localhost:{hub.port}", ca_file=trusted.other_file, pace=QUICK)
        async with said_while(connection, only_ipv4) as said:
            text = await said.first()
    assert f'cannot be verified with ca_file ("{trusted.other_file}": unable to get local issuer certificate)' in text


async def test_a_certificate_for_another_name_is_said_with_the_name(trusted: Trusted) -> None:
    hub = FakeHub()
    async with hub.serving(credentials=trusted.credentials()):
        connection = Connection(hub=f"127.0.0.1:{hub.port}", ca_file=trusted.ca_file, pace=QUICK)
        async with said_while(connection) as said:
            assert 'the hub\'s certificate is not valid for "127.0.0.1"' in await said.first()


async def test_a_missing_client_certificate_is_guessed(trusted: Trusted) -> None:
    hub = FakeHub()
    async with hub.serving(credentials=trusted.credentials(clients=True)):
        connection = Connection(hub=f"localhost:{hub.port}", ca_file=trusted.ca_file, pace=QUICK)
        async with said_while(connection, only_ipv4) as said:
            assert "if it requires client certificates, set cert_file and key_file" in await said.first()


async def test_an_http_port_is_told_from_a_grpc_port() -> None:
    async with http_server() as port, said_while(Connection(hub=f"127.0.0.1:{port}", pace=QUICK)) as said:
        text = await said.first()
    assert "an HTTP server answered, not the hub's gRPC port: use the port of listen.grpc, 4356 by default" in text


async def test_the_port_for_argo_cd_is_known_by_its_number() -> None:
    async def resolve(_host: str, _port: int) -> set[str]:
        return {f"ipv4:127.0.0.1:{there}"}

    async with http_server() as there, said_while(Connection(hub="hub:4355", pace=QUICK), resolve) as said:
        assert "4355 is the hub's HTTP port for Argo CD; use the port of listen.grpc" in await said.first()


async def test_another_grpc_service_is_no_hub() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with said_while(Connection(hub=f"127.0.0.1:{port}", pace=QUICK)) as said:
        assert "another gRPC service answered, not a hub" in await said.first()
    await server.stop(None)


async def test_a_port_that_says_nothing_is_given_up_with_its_time() -> None:
    # Listening is enough: the kernel accepts, and nothing ever reads.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with said_while(Connection(hub=f"127.0.0.1:{port}", pace=Pace(welcome_s=1))) as said:
            assert "no answer within 1 s: check host and port" in await said.first()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
async def test_a_wrong_token_is_named_by_its_file_and_tried_again(tmp_path: Path, code: grpc.StatusCode) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2")
    hub = FakeHub()
    hub.refusal = code
    async with hub.serving(), said_while(Connection(hub=hub.address, token_file=token, pace=QUICK)) as said:
        text = await said.first()
        await hub.refused(3)
        hub.refusal = None
        await hub.attached()
    assert f'the hub rejected this backend\'s token ("{token}") or name: compare with backend "images"' in text
    assert f"the hub says: the fake hub was told to refuse ({code.name})" in text
    assert "hunter2" not in text
    assert len(said.texts) == 1


async def test_a_missing_token_is_said() -> None:
    hub = FakeHub()
    hub.refusal = grpc.StatusCode.UNAUTHENTICATED
    async with hub.serving(), said_while(Connection(hub=hub.address, pace=QUICK)) as said:
        assert "this backend has none: set token_file to the file with the token of backend" in await said.first()


async def test_a_token_that_vanishes_while_serving_is_said_as_what_it_is(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    hub = FakeHub()
    async with hub.serving(), said_while(Connection(hub=hub.address, token_file=token, pace=QUICK)) as said:
        await hub.attached()
        token.unlink()
        hub.drop()
        texts = await said.until(lambda texts: "token_file" in texts[-1] if texts else False)
    assert texts[-1].endswith(f'trying again: token_file: cannot read "{token}": No such file or directory')


async def test_a_reason_that_lasts_is_said_again_after_a_while() -> None:
    pace = Pace(first_retry_s=0.01, longest_retry_s=0.01, remind_s=0.05)
    async with said_while(Connection(hub=f"127.0.0.1:{free_port()}", pace=pace)) as said:
        first, *_, last = await said.until(lambda texts: len(texts) >= 3)
    assert first == last


def test_a_reason_is_due_at_once_then_at_intervals_and_at_once_after_things_went_well() -> None:
    now_s = [0.0]
    complaints = Complaints(60, clock=lambda: now_s[0])
    assert [complaints.due("a"), complaints.due("a"), complaints.due("b")] == [True, False, True]
    now_s[0] = 60.0
    assert [complaints.due("a", remind=False), complaints.due("a"), complaints.due("a")] == [False, True, False]
    complaints.clear()
    assert complaints.due("a")


def test_reasons_that_never_repeat_are_not_all_said() -> None:
    complaints = Complaints(60, clock=lambda: 0.0)
    assert sum(complaints.due(str(number)) for number in range(1000)) == 5


async def test_a_claim_outside_the_grant_is_a_warning_with_what_to_ask_for() -> None:
    hub = FakeHub()
    hub.ignored = ("x-*",)
    async with hub.serving(), said_while(Connection(hub=hub.address, pace=QUICK)) as said:
        text = await said.first()
    assert text.endswith(
        'ignores the claim "x-*": its configuration does not grant it to backend "images"; matching names get '
        "a 404 unless a route serves them; "
        'add the pattern to application_sets of backend "images" in hub.yaml, or remove it from the backend'
    )


async def test_a_registered_backend_is_warned_whenever_its_ignored_claims_change() -> None:
    hub = FakeHub(ttl_s=0.15)
    hub.ignored = ("x-*",)
    where: dict[str, Any] = {"listen": "127.0.0.1:0", "address": "images.svc:1"}
    async with hub.serving(), said_while(Connection(hub=hub.address, pace=QUICK, **where)) as said:
        await hub.registered(3)
        assert len(said.texts) == 1
        hub.ignored = ("fb-*", "x-*")
        texts = await said.until(lambda texts: len(texts) == 2)
    assert 'ignores the claim "fb-*", "x-*"' in texts[-1]


async def only_ipv4(_host: str, port: int) -> set[str]:
    return {f"ipv4:127.0.0.1:{port}"}
