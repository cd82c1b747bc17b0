"""Backends that the hub calls, over real gRPC."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import grpc
import pytest
from appset_hub.v1 import backend_pb2

from hub.core.deadline import Deadline
from hub.core.directory import BackendInfo
from hub.rpc.connection import Connection
from hub.rpc.dial import ChannelDialler, ChannelTls, DialSecurity
from hub.service.ports import Ask, AskError, Broken, InstanceLost, InvalidInput, NotReady, RawAnswer, TimedOut, TooLarge
from tests.support.certificates import Authority
from tests.support.rpc import RawBackend, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from hub.rpc.link import DialledLink

ASK = Ask(application_set_name="fb-1", application_set_namespace="", input_json=b"{}", request_id="id-1",
          known_digest="d0")  # fmt: skip
INFO = BackendInfo(name="legacy", instance="one")


class Observer:
    """Hears whether the instance can be reached, and lets a test wait for it."""

    def __init__(self) -> None:
        self.states: list[bool] = []
        self._now = {True: asyncio.Event(), False: asyncio.Event()}

    def reachable(self, *, yes: bool) -> None:
        self.states.append(yes)
        self._now[yes].set()
        self._now[not yes].clear()

    def unresponsive(self) -> None:
        self.states.append(False)

    async def seen(self, *, yes: bool) -> None:
        await self._now[yes].wait()


@asynccontextmanager
async def dialled(
    port: int, observer: Observer | None = None, host: str = "127.0.0.1", **security: Any
) -> AsyncIterator[DialledLink]:
    """A link to a port of this machine."""
    clock = asyncio.get_running_loop().time
    known = {"legacy": DialSecurity(**security)} if security else {}
    async with ChannelDialler(clock, max_answer_bytes=1024 * 1024, security=known) as dialler:
        yield dialler.dial(INFO, f"{host}:{port}", observer or Observer())


async def ask(link: DialledLink, within_s: float = 10.0) -> RawAnswer:
    return await link.ask(ASK, Deadline(asyncio.get_running_loop().time() + within_s))


async def test_a_link_whose_connection_broke_a_moment_ago_does_not_connect_again_to_ask() -> None:
    backend, observer = RawBackend(), Observer()
    async with serving(backend) as port, dialled(port, observer) as link:
        await observer.seen(yes=True)
        # Before its watch has noticed.
        with (
            mock.patch.object(Connection, "ready", new_callable=mock.PropertyMock, return_value=False),
            pytest.raises(InstanceLost),
        ):
            await ask(link)
        assert backend.requests == []
        assert observer.states[-1] is False


async def test_a_dialled_backend_is_asked_with_everything() -> None:
    backend = RawBackend()
    async with serving(backend) as port, dialled(port, token="hub-token") as link:
        assert (await ask(link)).sets_json == b'[{"a":"1"}]'
    (request,) = backend.requests
    assert (request.application_set_name, request.input_parameters_json, request.request_id, request.known_digest) == (
        "fb-1", b"{}", "id-1", "d0",
    )  # fmt: skip
    assert backend.metadata["authorization"] == "Bearer hub-token"


async def test_all_that_a_backend_says_is_heard() -> None:
    backend = RawBackend()

    async def says(_request: Any, _context: Any) -> backend_pb2.GetParamsResponse:
        response = backend_pb2.GetParamsResponse(digest="d0", not_modified=True, notices=[backend_pb2.Notice(text="x")])
        response.fresh_for.FromMilliseconds(1500)
        return response

    backend.behaviour = says
    async with serving(backend) as port, dialled(port) as link:
        raw = await ask(link)
    assert (raw.digest, raw.not_modified, raw.fresh_for_s) == ("d0", True, 1.5)
    assert raw.notices[0].text == "x"


def aborts(code: grpc.StatusCode, details: str) -> Callable[[Any, Any], Awaitable[Any]]:
    async def abort(_request: Any, context: Any) -> None:
        await context.abort(code, details)

    return abort


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput, "$.x: is missing"),
        (grpc.StatusCode.UNAVAILABLE, NotReady, "$.x: is missing"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOut, "$.x: is missing"),
        (grpc.StatusCode.INTERNAL, Broken, "INTERNAL: $.x: is missing"),
        (grpc.StatusCode.CANCELLED, Broken, "CANCELLED: $.x: is missing"),
        (grpc.StatusCode.UNIMPLEMENTED, Broken, "UNIMPLEMENTED: $.x: is missing"),
        (grpc.StatusCode.UNAUTHENTICATED, Broken, "UNAUTHENTICATED: $.x: is missing"),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", None)),
)
async def test_a_status_of_the_backend_has_its_meaning(code: grpc.StatusCode, error: type[AskError], text: str) -> None:
    backend, observer = RawBackend(), Observer()
    backend.behaviour = aborts(code, "$.x: is missing")
    async with serving(backend) as port, dialled(port, observer) as link:
        await observer.seen(yes=True)
        with pytest.raises(error) as failed:
            await ask(link)
        assert type(failed.value) is error
        assert str(failed.value) == text
        assert observer.states[-1], "what the backend says itself is no broken connection"


@pytest.mark.parametrize(
    ("trailing", "after_s"),
    [
        ((("retry-after", "7"),), 7.0),
        ((("other", "1"), ("retry-after", "0.5")), 0.5),
        ((), None),
        ((("retry-after", "soon"),), None),
        ((("retry-after", "nan"),), None),
        ((("retry-after", "inf"),), None),
        ((("retry-after-bin", b"7"),), None),
    ],
    ids=["seconds", "a fraction", "nothing", "a word", "not a number", "without end", "bytes"],
)
async def test_when_to_retry_is_heard_from_the_trailing_metadata(trailing: Any, after_s: float | None) -> None:
    backend = RawBackend()

    async def limited(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "rate limited", trailing)

    backend.behaviour = limited
    async with serving(backend) as port, dialled(port) as link:
        with pytest.raises(NotReady, match=r"^rate limited$") as failed:
            await ask(link)
    assert failed.value.retry_after_s == after_s


async def test_a_backend_that_raises_is_broken() -> None:
    async def fails(_request: Any, _context: Any) -> None:
        raise ValueError("oops")

    backend = RawBackend()
    backend.behaviour = fails
    async with serving(backend) as port, dialled(port) as link:
        with pytest.raises(Broken, match=r"^UNKNOWN: "):
            await ask(link)


async def test_an_answer_that_is_too_large_to_be_read_names_both_numbers() -> None:
    async def large(_request: Any, _context: Any) -> backend_pb2.GetParamsResponse:
        return backend_pb2.GetParamsResponse(parameters_json=b"x" * 9 * 1024 * 1024)

    backend = RawBackend()
    backend.behaviour = large
    async with serving(backend) as port, dialled(port) as link:
        with pytest.raises(
            TooLarge, match=r"its answer has 94371\d\d bytes, and the hub cannot even read more than 8388608"
        ):
            await ask(link)


async def hold(_request: Any, _context: Any) -> None:
    await asyncio.Event().wait()


async def test_a_connection_that_breaks_loses_the_instance_until_it_is_back() -> None:
    backend, observer = RawBackend(), Observer()
    backend.behaviour = hold
    async with serving(backend) as port, dialled(port, observer) as link:
        await observer.seen(yes=True)
        asking = asyncio.ensure_future(ask(link))
        await backend.started.wait()
        again = RawBackend()
        with kept(port):
            await restart(backend, asking)
            await observer.seen(yes=False)
            async with serving(again, port=port):
                await observer.seen(yes=True)
                assert (await ask(link)).sets_json == b'[{"a":"1"}]'


@contextmanager
def kept(port: int) -> Iterator[None]:
    """Keep a port from other tests while nobody listens on it; gRPC's servers share theirs."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", port))
        yield


async def restart(backend: RawBackend, asking: asyncio.Future[RawAnswer]) -> None:
    """Stop the backend's server in the middle of a call."""
    await backend.stop()
    with pytest.raises(InstanceLost):
        await asking


async def test_nobody_at_the_address_is_a_lost_instance() -> None:
    backend, observer = RawBackend(), Observer()
    async with serving(backend) as port:
        pass
    async with dialled(port, observer) as link:
        with pytest.raises(InstanceLost):
            await ask(link)
        assert observer.states[-1] is False


async def test_a_caller_who_hangs_up_cancels_the_call() -> None:
    backend = RawBackend()
    backend.behaviour = hold
    async with serving(backend) as port, dialled(port) as link:
        asking = asyncio.ensure_future(ask(link))
        await backend.started.wait()
        asking.cancel()
        await backend.cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_the_deadline_travels_and_ends_the_call() -> None:
    left: list[float] = []

    async def slow(request: Any, context: Any) -> None:
        left.append(context.time_remaining())
        await hold(request, context)

    backend = RawBackend()
    backend.behaviour = slow
    async with serving(backend) as port, dialled(port) as link:
        with pytest.raises(TimedOut):
            await ask(link, 1.0)
        await backend.cancelled.wait()
    assert 0 < left[0] < 2.0  # gRPC rounds it up a little.


async def test_a_link_that_is_closed_finishes_first() -> None:
    released = asyncio.Event()

    async def gated(_request: Any, _context: Any) -> backend_pb2.GetParamsResponse:
        await released.wait()
        return backend_pb2.GetParamsResponse(parameters_json=b"[]")

    backend, observer = RawBackend(), Observer()
    backend.behaviour = gated
    async with serving(backend) as port, dialled(port, observer) as link:
        asking = asyncio.ensure_future(ask(link))
        await backend.started.wait()
        link.close()
        link.close()
        heard = len(observer.states)
        released.set()
        assert (await asking).sets_json == b"[]"
        assert len(observer.states) == heard


@pytest.mark.parametrize("server_name", ["", "legacy.example"], ids=["by its address", "by a given name"])
async def test_a_backend_is_dialled_over_tls(server_name: str) -> None:
    authority = Authority()
    backend, observer = RawBackend(), Observer()
    credentials = authority.server(server_name or "127.0.0.1", clients=True)
    key, certificate = authority.pair("hub.example")
    tls = ChannelTls(ca=authority.ca_pem, key=key, certificate=certificate, server_name=server_name)
    async with serving(backend, credentials=credentials) as port, dialled(port, observer, tls=tls) as link:
        await observer.seen(yes=True)
        assert (await ask(link)).sets_json == b'[{"a":"1"}]'


@pytest.mark.parametrize("wrong", ["the name", "the authority", "plain"])
async def test_a_backend_that_is_another_one_is_not_believed(wrong: str) -> None:
    authority = Authority()
    backend = RawBackend()
    credentials = authority.server("other.example" if wrong == "the name" else "127.0.0.1", clients=False)
    ca = (Authority() if wrong == "the authority" else authority).ca_pem
    tls = None if wrong == "plain" else ChannelTls(ca=ca)
    async with serving(backend, credentials=credentials) as port, dialled(port, tls=tls) as link:
        with pytest.raises(InstanceLost):
            await ask(link, 5.0)
    assert backend.requests == []


async def test_a_new_token_counts_from_the_next_call_on() -> None:
    backend = RawBackend()
    clock = asyncio.get_running_loop().time
    async with serving(backend) as port, ChannelDialler(clock, max_answer_bytes=1024, security={}) as dialler:
        link = dialler.dial(INFO, f"127.0.0.1:{port}", Observer())
        await ask(link)
        assert "authorization" not in backend.metadata
        dialler.replace_security({"legacy": DialSecurity(token="new")})
        await ask(link)
        assert backend.metadata["authorization"] == "Bearer new"


async def test_new_tls_says_whose_connections_have_to_be_made_anew() -> None:
    clock = asyncio.get_running_loop().time
    plain, secured = DialSecurity(), DialSecurity(tls=ChannelTls(ca=b"1"))
    known = {"same": secured, "plain": plain, "secured": secured, "gone": secured, "token": plain}
    async with ChannelDialler(clock, max_answer_bytes=1024, security=known) as dialler:
        renewed = DialSecurity(tls=ChannelTls(ca=b"2"))
        changed = dialler.replace_security(
            {"same": secured, "plain": secured, "secured": renewed, "token": DialSecurity(token="x"), "new": secured}
        )
    assert changed == {"plain", "secured", "gone"}
