"""Instances that the hub calls: one channel each, and word of whether it can be reached."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Protocol, Self

import grpc
import grpc.aio
import msgspec
from appset_hub.v1 import backend_pb2_grpc

from hub.rpc import codec
from hub.rpc.options import message_sizes, proxies, seldom_pings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from hub.core.deadline import Deadline
    from hub.core.directory import BackendInfo
    from hub.service.ports import Ask, Clock, RawAnswer, Reachability

_RECONNECT_FIRST_MS = 100
_RECONNECT_MOST_MS = 800  # gRPC adds up to a fifth: a backend that is back is found within a second.

# All addresses behind a name share the load; a name that resolves to one is not changed by this.
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


class ChannelTls(msgspec.Struct, frozen=True, kw_only=True):
    """TLS towards a backend: its CA (``None``: the system's), and the hub's own key and certificate, all PEM."""

    ca: bytes | None = None
    key: bytes | None = None
    certificate: bytes | None = None
    server_name: str = ""


class DialSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How one backend is called: TLS, if any, and the token that the hub shows."""

    tls: ChannelTls | None = None
    token: str = ""


_PLAIN = DialSecurity()


class Keep(Protocol):
    """Runs something that must not end by itself, and again when it fails."""

    async def __call__(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run it until it returns or is cancelled."""
        ...


async def _once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


class ChannelDialler:
    """Opens channels, and closes them all when its context ends."""

    def __init__(
        self,
        clock: Clock,
        *,
        max_answer_bytes: int,
        security: dict[str, DialSecurity],
        keep: Keep = _once,
        proxy_from_environment: bool = False,
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._options = [
            *seldom_pings(),
            *proxies(from_environment=proxy_from_environment),
            *message_sizes(max_answer_bytes),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.min_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MOST_MS),
            ("grpc.service_config", _SERVICE_CONFIG),
        ]
        self._security = security
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[DialledLink] = set()

    def replace_security(self, security: dict[str, DialSecurity]) -> set[str]:
        """Take new tokens, for calls from now on, and new TLS; returns whose connections have to be made anew."""
        before, self._security = self._security, security
        return {name for name in before if before[name].tls != self.security(name).tls}

    def security(self, backend: str) -> DialSecurity:
        """How a backend is called now."""
        return self._security.get(backend, _PLAIN)

    def dial(self, info: BackendInfo, address: str, observer: Reachability) -> DialledLink:
        """Start to connect to an instance."""
        link = DialledLink(self, info.name, self._channel(address, self.security(info.name).tls), self._clock)
        self._links.add(link)
        self.start(self._keep(lambda: link.watch(observer)))
        return link

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something until it ends, or until this context does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def closed(self, link: DialledLink) -> None:
        """The link is gone."""
        self._links.discard(link)

    def _channel(self, address: str, tls: ChannelTls | None) -> grpc.aio.Channel:
        if tls is None:
            return grpc.aio.insecure_channel(address, options=self._options)
        options = list(self._options)
        if tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
        return grpc.aio.secure_channel(address, credentials, options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in list(self._links):
            await link.end()


class DialledLink:
    """One channel, as the link over which its instance is asked."""

    def __init__(self, dialler: ChannelDialler, backend: str, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._dialler = dialler
        self._backend = backend
        self._channel = channel
        self._clock = clock
        self._get_params = backend_pb2_grpc.BackendServiceStub(channel).GetParams
        self._observer: Reachability | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0
        self._closing = False

    async def ask(self, ask: Ask, deadline: Deadline) -> RawAnswer:
        """Call the instance; cancelling this call cancels the RPC.

        Raises:
            AskError: there is no answer.
        """
        self._in_flight += 1
        self._idle.clear()
        try:
            response = await self._get_params(
                codec.request(ask), timeout=deadline.left_s(self._clock()), metadata=self._metadata(ask)
            )
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        return codec.raw_answer(response)

    def _metadata(self, ask: Ask) -> list[tuple[str, str]]:
        token = self._dialler.security(self._backend).token
        metadata = [("authorization", f"Bearer {token}")] if token else []
        if ask.traceparent:
            metadata.append(("traceparent", ask.traceparent))
        return metadata

    def _translated(self, error: grpc.aio.AioRpcError) -> Exception:
        # While the channel is connected it was the backend that said UNAVAILABLE; else the connection broke.
        connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
        lost = error.code() is grpc.StatusCode.UNAVAILABLE and not connected
        if lost and self._observer is not None:
            self._observer.reachable(yes=False)
        after_s = codec.retry_after_s(error.trailing_metadata())
        return codec.failure(error.code(), error.details() or "", lost=lost, retry_after_s=after_s)

    async def watch(self, observer: Reachability) -> None:
        """Keep the channel connected, and say when it is and when it is not, until cancelled."""
        self._observer = observer
        while not self._closing:
            state = self._channel.get_state(try_to_connect=True)
            observer.reachable(yes=state is grpc.ChannelConnectivity.READY)
            await self._channel.wait_for_state_change(state)

    def close(self) -> None:
        """Close the channel when what is in flight has ended."""
        if not self._closing:
            self._closing = True
            self._observer = None
            self._dialler.start(self._close_when_idle())

    async def _close_when_idle(self) -> None:
        await self._idle.wait()
        await self.end()

    async def end(self) -> None:
        """Close the channel now."""
        self._closing = True
        self._dialler.closed(self)
        await self._channel.close()
