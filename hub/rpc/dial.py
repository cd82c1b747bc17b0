"""Instances that the hub calls: one channel each, and word of whether it can be reached."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio
from appset_hub.v1 import backend_pb2_grpc

from hub.rpc import codec
from hub.rpc.options import keepalive, message_sizes

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from hub.core.deadline import Deadline
    from hub.core.directory import BackendInfo
    from hub.service.ports import Ask, Clock, RawAnswer, Reachability

_RECONNECT_FIRST_MS = 100
_RECONNECT_MOST_MS = 1000

# All addresses behind a name share the load; a name that resolves to one is not changed by this.
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


class DialSecurity:
    """How one backend is called: the credentials of the channel, if any, and the token that the hub shows."""

    def __init__(
        self,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str = "",
        token: str = "",
    ) -> None:
        self.credentials = credentials
        self.server_name = server_name
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()


class ChannelDialler:
    """Opens channels, and closes them all when its context ends."""

    def __init__(self, clock: Clock, *, max_answer_bytes: int, security: dict[str, DialSecurity]) -> None:
        self._clock = clock
        self._options = [
            *keepalive(),
            *message_sizes(max_answer_bytes),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.min_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MOST_MS),
            ("grpc.service_config", _SERVICE_CONFIG),
        ]
        self._security = security
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[DialledLink] = set()

    def replace_security(self, security: dict[str, DialSecurity]) -> None:
        """Take new credentials, for channels that are opened from now on."""
        self._security = security

    def dial(self, info: BackendInfo, address: str, observer: Reachability) -> DialledLink:
        """Start to connect to an instance."""
        security = self._security.get(info.name, DialSecurity())
        link = DialledLink(self, self._channel(address, security), self._clock, security)
        self._links.add(link)
        self.start(link.watch(observer))
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

    def _channel(self, address: str, security: DialSecurity) -> grpc.aio.Channel:
        if security.credentials is None:
            return grpc.aio.insecure_channel(address, options=self._options)
        options = list(self._options)
        if security.server_name:
            options.append(("grpc.ssl_target_name_override", security.server_name))
        return grpc.aio.secure_channel(address, security.credentials, options=options)

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

    def __init__(
        self, dialler: ChannelDialler, channel: grpc.aio.Channel, clock: Clock, security: DialSecurity
    ) -> None:
        self._dialler = dialler
        self._channel = channel
        self._clock = clock
        self._metadata = security.metadata
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
        metadata = (*self._metadata, ("traceparent", ask.traceparent)) if ask.traceparent else self._metadata
        try:
            response = await self._get_params(
                codec.request(ask), timeout=deadline.left_s(self._clock()), metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        return codec.raw_answer(response)

    def _translated(self, error: grpc.aio.AioRpcError) -> Exception:
        # A status that the backend sent says so in gRPC's own words; any other UNAVAILABLE is a broken connection.
        lost = error.code() is grpc.StatusCode.UNAVAILABLE and "from peer" not in (error.debug_error_string() or "")
        if lost and self._observer is not None:
            self._observer.reachable(yes=False)
        return codec.failure(error.code(), error.details() or "", lost=lost)

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
