"""A hub that has just started is ready when its known backends are back, or have had time to come."""

from __future__ import annotations

from hub.core.directory import Grant
from hub.service.startup import Startup
from tests.support.fakes import FakeLink
from tests.support.service import Service, route
from tests.support.virtual import after, on_virtual_time

CLAIMS: dict[str, tuple[str, ...]] = {"images": ("fb-*",), "owners": ("own-*",)}
SEEN = (
    Grant(backend="images", application_sets=("*",)),
    Grant(backend="owners", application_sets=("*",)),
)


def restarted(wait_s: float = 10.0) -> tuple[Service, Startup]:
    """A hub whose store knows two backends, one of which a route has."""
    hub = Service(route("r", "images"), grants=SEEN, claims=CLAIMS)
    for name in CLAIMS:
        hub.directory.set_seen(name)
    return hub, Startup(hub.overview.expected_back, hub.now, wait_s=wait_s)


@on_virtual_time
async def test_it_waits_for_every_backend_that_it_knows() -> None:
    hub, startup = restarted()
    assert startup.missing() == (
        'backend "images" has not connected since the start',
        'backend "owners" has not connected since the start',
    )
    await hub.attach(FakeLink("one"))
    assert startup.missing() == ('backend "owners" has not connected since the start',)
    await hub.attach(FakeLink("two"), "owners")
    assert startup.missing() == ()


@on_virtual_time
async def test_it_does_not_wait_for_ever() -> None:
    _, startup = restarted()
    await after(9.9)
    assert len(startup.missing()) == 2
    await after(0.2)
    assert startup.missing() == ()


@on_virtual_time
async def test_an_absence_after_the_start_does_not_make_it_unready() -> None:
    hub, startup = restarted()
    images, owners = await hub.attach(FakeLink("one")), await hub.attach(FakeLink("two"), "owners")
    assert startup.missing() == ()
    hub.lose(images)
    hub.lose(owners)
    assert startup.missing() == ()


@on_virtual_time
async def test_without_a_wait_it_is_ready_at_once() -> None:
    _, startup = restarted(wait_s=0.0)
    assert startup.missing() == ()


@on_virtual_time
async def test_backends_that_never_connected_are_not_waited_for() -> None:
    hub = Service(route("r", "images"), grants=SEEN)
    assert Startup(hub.overview.expected_back, hub.now, wait_s=10.0).missing() == ()


@on_virtual_time
async def test_a_backend_that_the_hub_connects_to_is_waited_for() -> None:
    grants = (Grant(backend="images", application_sets=("*",), configured_address="images.svc:50051"),)
    hub = Service(route("r", "images"), grants=grants)
    startup = Startup(hub.overview.expected_back, hub.now, wait_s=10.0)
    assert len(startup.missing()) == 1
    hub.membership.configure(grants)
    hub.dialler.reach("images.svc:50051")
    assert startup.missing() == ()
