"""How names are followed, on virtual time; and the resolver of this machine."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest

from hub.core.names import HostName
from hub.rpc.resolver import SystemResolver
from hub.service.names import FollowedNames
from hub.service.ports import Unresolved
from tests.support.fakes import FakeResolver
from tests.support.virtual import after, now_s, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

NAME = "images.svc:50051"
ONE, TWO = "10.0.0.1:50051", "10.0.0.2:50051"


class Observer:
    """Hears what a name resolves to, and says how its addresses are."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...] | str] = []
        self.standing: Literal["all", "some", "none"] = "all"

    def found(self, endpoints: tuple[str, ...]) -> None:
        self.heard.append(endpoints)

    def unresolved(self, reason: str) -> None:
        self.heard.append(reason)


async def once(work: Callable[[], Coroutine[None, None, None]]) -> None:
    await work()


@asynccontextmanager
async def following(resolver: FakeResolver, every_s: float = 30.0) -> AsyncIterator[FollowedNames]:
    async with FollowedNames(resolver, now_s, every_s=every_s, keep=once) as names:
        yield names


@on_virtual_time
async def test_while_all_is_well_a_name_is_looked_up_every_thirty_seconds() -> None:
    resolver, observer = FakeResolver({NAME: (ONE,)}), Observer()
    async with following(resolver) as names:
        assert names.follow(NAME, observer) is not None
        await after(1)
        resolver.known[NAME] = (ONE, TWO)
        await after(28)
        assert observer.heard == [(ONE,)]
        await after(2)
        assert observer.heard == [(ONE,), (ONE, TWO)]


@on_virtual_time
async def test_an_address_that_fails_makes_the_name_be_looked_up_within_a_second() -> None:
    resolver, observer = FakeResolver({NAME: (ONE,)}), Observer()
    async with following(resolver) as names:
        followed = names.follow(NAME, observer)
        assert followed is not None
        await after(0.1)
        observer.standing = "none"
        followed.hurry()
        await after(1)
        assert len(observer.heard) == 2
        await after(10)
        assert len(observer.heard) == 12, "and again each second, while nothing can be reached"


@on_virtual_time
async def test_an_address_that_fails_again_and_again_brings_one_lookup_a_second() -> None:
    resolver, observer = FakeResolver({NAME: (ONE,)}), Observer()
    async with following(resolver) as names:
        followed = names.follow(NAME, observer)
        assert followed is not None
        for _ in range(100):
            await after(0.1)
            followed.hurry()
    assert 10 <= len(resolver.asked) <= 11


@on_virtual_time
async def test_a_backend_that_is_away_for_long_is_looked_up_less_often() -> None:
    resolver, observer = FakeResolver({NAME: (ONE,)}), Observer()
    observer.standing = "none"
    async with following(resolver) as names:
        names.follow(NAME, observer)
        await after(600)
    assert 120 <= len(observer.heard) <= 160


@on_virtual_time
async def test_one_dead_address_among_others_is_no_reason_for_a_lookup_each_second() -> None:
    resolver, observer = FakeResolver({NAME: (ONE, TWO)}), Observer()
    observer.standing = "some"
    async with following(resolver) as names:
        names.follow(NAME, observer)
        await after(300)
    assert len(observer.heard) <= 16


@on_virtual_time
async def test_a_failed_lookup_is_repeated_soon_and_says_why() -> None:
    resolver, observer = FakeResolver({}), Observer()
    async with following(resolver) as names:
        names.follow(NAME, observer)
        await after(0.5)
        resolver.known[NAME] = (ONE,)
        await after(1)
    assert observer.heard == ["Name or service not known", (ONE,)]


@on_virtual_time
async def test_all_who_follow_a_name_share_one_lookup_a_second() -> None:
    resolver = FakeResolver({NAME: (ONE,)})
    observers = [Observer() for _ in range(100)]
    async with following(resolver) as names:
        for observer in observers:
            observer.standing = "none"
            names.follow(NAME, observer)
        await after(9.5)
    assert len(resolver.asked) == 10
    assert all(len(observer.heard) == 10 for observer in observers)


@on_virtual_time
async def test_one_who_no_longer_follows_takes_nothing_from_the_others() -> None:
    resolver, gone, there = FakeResolver({NAME: (ONE,)}), Observer(), Observer()
    resolver.gate = asyncio.Event()
    async with following(resolver) as names:
        first = names.follow(NAME, gone)
        names.follow(NAME, there)
        await after(1)
        assert first is not None
        first.close()
        await after(1)
        resolver.gate.set()
        await after(1)
    assert (gone.heard, there.heard) == ([], [(ONE,)])


@on_virtual_time
async def test_a_name_that_nobody_follows_is_not_looked_up() -> None:
    resolver = FakeResolver({NAME: (ONE,)})
    async with following(resolver) as names:
        followed = names.follow(NAME, Observer())
        assert followed is not None
        followed.close()
        await after(100)
        assert resolver.asked == []
        again = names.follow(NAME, Observer())
        assert again is not None
        await after(1)
        again.close()
        await after(100)
    assert len(resolver.asked) == 1


@on_virtual_time
async def test_an_address_without_a_name_is_not_followed() -> None:
    async with following(FakeResolver({})) as names:
        assert names.follow(ONE, Observer()) is None


@on_virtual_time
async def test_through_a_proxy_names_are_left_to_the_proxy() -> None:
    resolver = FakeResolver({NAME: (ONE,)})
    async with FollowedNames(resolver, now_s, every_s=30.0, keep=once, proxied=True) as names:
        assert names.follow(NAME, Observer()) is None
    assert resolver.asked == []


def entries(*hosts: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 50051)) for host in hosts]


IMAGES = HostName(host="images", port=50051)


async def test_the_resolver_of_the_machine_knows_localhost() -> None:
    found = await SystemResolver().resolve(HostName(host="localhost", port=50051))
    assert "127.0.0.1:50051" in found


async def test_the_same_address_twice_is_one() -> None:
    resolver = SystemResolver(lambda *_args, **_more: entries("10.0.0.1", "10.0.0.2", "10.0.0.1"))
    assert await resolver.resolve(IMAGES) == (ONE, TWO)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "^Name or service not known$"),
        (OSError(), "^OSError$"),
        (UnicodeError("label too long"), "^it is not a host name$"),
    ],
    ids=["unknown", "without a text", "no name"],
)
async def test_a_name_that_cannot_be_looked_up_says_why(error: Exception, text: str) -> None:
    def fails(*_args: Any, **_more: Any) -> list[Any]:
        raise error

    with pytest.raises(Unresolved, match=text):
        await SystemResolver(fails).resolve(IMAGES)


async def test_a_lookup_that_hangs_ends_in_time_and_has_one_thread() -> None:
    released, calls = threading.Event(), []

    def hangs(*_args: Any, **_more: Any) -> list[Any]:
        calls.append(threading.current_thread())
        released.wait(30)
        return entries("10.0.0.1")

    resolver = SystemResolver(hangs, within_s=0.05)
    for _ in range(3):
        with pytest.raises(Unresolved, match=r"^no answer from DNS within 0\.05 s$"):
            await resolver.resolve(IMAGES)
    assert len(calls) == 1
    assert calls[0].daemon, "or the end of the process would wait for it"
    released.set()
    patient = SystemResolver(lambda *_args, **_more: entries("10.0.0.2"))
    assert await patient.resolve(IMAGES) == (TWO,)


async def test_a_lookup_never_holds_up_the_loop() -> None:
    released = threading.Event()

    def hangs(*_args: Any, **_more: Any) -> list[Any]:
        released.wait(30)
        return entries("10.0.0.1")

    looking = asyncio.ensure_future(SystemResolver(hangs).resolve(IMAGES))
    while not looking.done():
        await asyncio.sleep(0)
        released.set()  # The loop goes on, or this would never be.
    assert await looking == (ONE,)
