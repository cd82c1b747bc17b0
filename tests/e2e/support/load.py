"""Callers who keep calling, each on connections of its own, until they are told to stop."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.support.processes import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.e2e.support.calls import Reply
    from tests.e2e.support.rig import Hub


class Caller:
    """One caller with one keep-alive connection at a time; it honours ``Connection: close``.

    ``until_closed`` makes it stop then, as a caller does whom a load balancer sends elsewhere.
    """

    def __init__(
        self, hub: Hub, name: str, *, token: Callable[[], str], parameters: Mapping[str, Any], until_closed: bool
    ) -> None:
        self._hub = hub
        self._name = name
        self._token = token
        self._parameters = parameters
        self._until_closed = until_closed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.replies: list[Reply] = []
        self.times: list[float] = []
        """When each reply came, as ``time.monotonic`` has it."""
        self.trouble: Exception | None = None
        self.was_closed = False
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set() and not (self._until_closed and self.was_closed):
                self._use_one_connection()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it.
            self.trouble = error

    def _use_one_connection(self) -> None:
        connection = self._hub.connect()
        try:
            while not self._stopped.is_set():
                reply = connection.ask(self._name, self._parameters, token=self._token())
                self.times.append(time.monotonic())
                self.replies.append(reply)
                if reply.headers.get("connection", "").lower() == "close":
                    self.was_closed = True
                    return
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "a request has no answer"


class Load:
    """Several callers at once."""

    def __init__(
        self,
        hub: Hub,
        name: str,
        *,
        callers: int = 4,
        token: Callable[[], str] = lambda: "argocd-token",
        parameters: Mapping[str, Any] | None = None,
        until_closed: bool = False,
    ) -> None:
        self.callers = [
            Caller(hub, name, token=token, parameters=parameters or {}, until_closed=until_closed)
            for _ in range(callers)
        ]

    def __enter__(self) -> Self:
        self.flows()
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self.callers:
            caller.stop()
        for caller in self.callers:
            caller.join()

    def flows(self, more: int = 3) -> None:
        """Wait until every caller has so many more replies."""
        wanted = [len(caller.replies) + more for caller in self.callers]
        until(
            lambda: all(
                caller.trouble is not None or len(caller.replies) >= count
                for caller, count in zip(self.callers, wanted, strict=True)
            ),
            "every caller gets replies",
        )

    @property
    def replies(self) -> list[Reply]:
        return [reply for caller in self.callers for reply in caller.replies]

    @property
    def troubles(self) -> list[Exception]:
        """Requests that had no answer."""
        return [caller.trouble for caller in self.callers if caller.trouble is not None]
