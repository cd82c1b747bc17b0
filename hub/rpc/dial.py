"""Connections to the instances that the hub calls: with which security, and from when to when."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Protocol, Self

import grpc
import grpc.aio
import msgspec

from hub.core.names import host_name
from hub.rpc.connection import Connection
from hub.rpc.link import DialledLink, Patience
from hub.rpc.options import message_sizes, proxies, seldom_pings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from hub.core.directory import BackendInfo
    from hub.service.ports import Clock, Reachability

_RECONNECT_FIRST_MS = 100
_RECONNECT_MOST_MS = 800  # gRPC adds up to a fifth: a backend that is back is found within a second.
_CONNECT_WITHIN_MS = 1000  # For one attempt, TLS included; gRPC calls it the least backoff.

# All addresses in one target, such as "ipv4:10.0.0.1:50051,10.0.0.2:50051", share the load.
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

    def __call__(self, work: Callable[[], Coroutine[None, None, None]]) -> Coroutine[None, None, None]:
        """Run it until it returns or is cancelled."""
        ...


async def _once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


class ChannelDialler:
    """Opens channels, and closes them all when its context ends."""

    def __init__(  # noqa: PLR0913 - its settings, each of them named at the call
        self,
        clock: Clock,
        *,
        max_answer_bytes: int,
        security: dict[str, DialSecurity],
        keep: Keep = _once,
        patience: Patience | None = None,
        proxy_from_environment: bool = False,
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._patience = patience or Patience()
        self._options = [
            *seldom_pings(),
            *proxies(from_environment=proxy_from_environment),
            *message_sizes(max_answer_bytes),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
            ("grpc.min_reconnect_backoff_ms", _CONNECT_WITHIN_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MOST_MS),
            ("grpc.service_config", _SERVICE_CONFIG),
            # Each channel has connections of its own, or a fresh one would use that which is to be checked.
            ("grpc.use_local_subchannel_pool", 1),
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

    def dial(self, info: BackendInfo, address: str, observer: Reachability, endpoint: str = "") -> DialledLink:
        """Start to connect to an instance."""
        tls = self.security(info.name).tls
        link = DialledLink(
            self,
            info.name,
            connect=lambda: Connection(self._channel(address, endpoint, tls)),
            observer=observer,
            clock=self._clock,
            patience=self._patience,
        )
        self._links.add(link)
        return link

    def start(self, work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Run something until it ends, or until this context does."""
        return self._run(self._keep(work))

    def finish(self, link: DialledLink) -> None:
        """Close a link when what it carries has ended, or this context does."""
        self._run(link.close_when_idle())

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def closed(self, link: DialledLink) -> None:
        """The link is gone."""
        self._links.discard(link)

    def _channel(self, address: str, endpoint: str, tls: ChannelTls | None) -> grpc.aio.Channel:
        options = list(self._options)
        if tls is not None and tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        elif endpoint:
            # What the certificate has to be for, and what a proxy routes by.
            options.append(("grpc.default_authority", str(host_name(address))))
        if endpoint:
            # The hub has resolved the name itself, so no proxy has to.
            options.append(("grpc.enable_http_proxy", 0))
        if tls is None:
            return grpc.aio.insecure_channel(endpoint or address, options=options)
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
        return grpc.aio.secure_channel(endpoint or address, credentials, options=options)

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
