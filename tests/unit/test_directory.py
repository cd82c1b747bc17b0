"""Who is here, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core.addresses import parse
from hub.core.directory import BackendInfo, Directory, Grant, Instance
from hub.core.routes import Claim

GRANTS = [
    Grant(backend="images", application_sets=("fb-*",)),
    Grant(backend="legacy", application_sets=("old-*",), configured_address="legacy:50051"),
    Grant(backend="silent"),
]


def directory(claims: dict[str, tuple[str, ...]] | None = None, **more: Any) -> Directory[str]:
    return Directory(GRANTS, claims or {}, lasting=more.pop("lasting", True), **more)


def instance(name: str, backend: str = "images", *patterns: str, **more: Any) -> Instance[str]:
    info = BackendInfo(name=backend, instance=name, application_sets=patterns)
    return Instance(
        **{"info": info, "kind": "attached", "link": f"link to {name}", "max_in_flight": 2, "state": "ready", **more}
    )


def joined(*instances: Instance[str]) -> Directory[str]:
    found = directory()
    for one in instances:
        found.join(one)
    return found


def test_the_instance_with_the_least_in_flight_is_picked() -> None:
    one, other = instance("one"), instance("other")
    found = joined(one, other)
    assert found.pick("images", None, None) is one
    one.in_flight = 1
    assert found.pick("images", None, None) is other
    other.in_flight = 1
    assert found.pick("images", None, None) is one


def test_an_instance_that_is_full_leaving_or_absent_is_not_picked() -> None:
    found = joined(
        instance("full", max_in_flight=0), instance("leaving", state="leaving"), instance("absent", state="absent")
    )
    assert found.pick("images", None, None) is None
    assert found.pick("unknown", None, None) is None


def test_an_instance_to_be_avoided_is_picked_only_if_there_is_no_other() -> None:
    one, other = instance("one"), instance("other")
    other.in_flight = 1
    for found in (joined(one, other), joined(other, one)):
        assert found.pick("images", None, one) is other
    assert joined(one).pick("images", None, one) is one


def test_on_a_claimed_name_only_instances_that_claim_it_are_picked() -> None:
    old, new = instance("old", "images", "fb-1"), instance("new", "images", "fb-*")
    old.in_flight, new.in_flight = 0, 1
    found = joined(old, new)
    assert found.pick("images", "fb-2", None) is new
    assert found.pick("images", "fb-1", None) is old
    assert found.pick("images", "other", None) is None
    assert found.pick("images", None, None) is old
    assert not found.present("images", "other")
    assert found.present("images", "fb-2")


def test_a_configured_instance_serves_what_the_configuration_says() -> None:
    dialled = instance("legacy:50051", "legacy", kind="configured")
    assert joined(dialled).pick("legacy", "old-1", None) is dialled


def test_present_means_that_somebody_could_answer_busy_or_not() -> None:
    one = instance("one", max_in_flight=1)
    found = joined(one)
    one.in_flight = 1
    assert found.present("images", None)
    assert found.pick("images", None, None) is None
    one.state = "leaving"
    assert not found.present("images", None)


def test_an_instance_of_the_same_id_replaces_the_one_before() -> None:
    before, now = instance("one"), instance("one")
    found = joined(before)
    assert found.join(now) is before
    assert found.instances("images") == [now]
    assert not found.leave(before)
    assert found.find("images", "one") is now
    assert found.leave(now)
    assert not found.leave(now)
    assert found.find("images", "one") is None


def test_leaving_an_unknown_backend_is_no_error() -> None:
    assert not directory().leave(instance("one"))


def test_a_claim_only_widens() -> None:
    found = directory({"images": ("fb-1", "fb-2")})
    info = BackendInfo(name="images", instance="one", application_sets=("fb-3", "fb-1", "fb-3"))
    assert found.widened_claim(info) == ("fb-1", "fb-2", "fb-3")
    assert found.registered_claim("images") == ("fb-1", "fb-2")
    found.set_claim("images", ("fb-3",))
    assert found.registered_claim("images") == ("fb-3",)
    found.set_claim("images", ())
    found.set_claim("images", ())
    assert found.registered_claim("images") == ()


def test_the_absence_of_every_instance_removes_no_claim() -> None:
    found = directory({"images": ("fb-*",)})
    one = instance("one", "images", "fb-*")
    found.join(one)
    before = list(found.claims())
    found.leave(one)
    assert list(found.claims()) == before == [
        Claim(backend="images", patterns=("fb-*",), granted=("fb-*",), lasting=True),
        Claim(backend="legacy", patterns=("old-*",), granted=("old-*",), lasting=True),
    ]  # fmt: skip


def test_in_a_store_that_forgets_only_what_is_configured_lasts() -> None:
    found = directory({"images": ("fb-*",)}, lasting=False)
    assert {claim.backend: claim.lasting for claim in found.claims()} == {"images": False, "legacy": True}


def test_a_claim_of_a_backend_that_is_no_longer_configured_does_not_count() -> None:
    found = directory({"images": ("fb-*",), "gone": ("x",)})
    assert [claim.backend for claim in found.claims()] == ["images", "legacy"]
    found.set_grants([])
    assert list(found.claims()) == []
    assert found.registered_claim("images") == ("fb-*",)


def test_what_is_claimed_now_is_what_the_instances_say() -> None:
    found = joined(instance("one", "images", "a", "b"), instance("other", "images", "b", "c"))
    assert found.current_claim("images") == ("a", "b", "c")
    assert found.current_claim("legacy") == ()


def test_only_a_hub_for_development_knows_backends_that_are_not_configured() -> None:
    assert directory().grant("new") is None
    found = directory(others=lambda backend: Grant(backend=backend))
    assert found.grant("new") == Grant(backend="new")
    assert found.grant("images") == GRANTS[0]


def test_every_state_of_every_backend_is_counted() -> None:
    found = joined(instance("one"), instance("other"), instance("third", state="leaving"))
    assert ("images", "ready", 2) in list(found.counts())
    assert ("images", "leaving", 1) in list(found.counts())
    assert ("legacy", "absent", 0) in list(found.counts())
    assert len(list(found.counts())) == 12
    assert found.backends == ["images", "legacy", "silent"]
    assert len(list(found)) == 3


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("a.owners.svc:50051", True), ("a.owners.svc:50052", False), ("169.254.169.254:80", False)],
)
def test_only_addresses_that_are_granted_may_be_registered(address: str, *, allowed: bool) -> None:
    assert Grant(backend="owners", addresses=("*.owners.svc:50051",)).allows_address(parse(address)) is allowed
    assert not Grant(backend="owners").allows_address(parse(address))


def test_a_claim_that_the_grant_excludes_is_ignored_and_one_partly_inside_is_not() -> None:
    found = directory({"images": ("fb-1", "*", "x-*", "fb-x-*", "pr-1"), "silent": ("x",), "stranger": ("x",)})
    assert found.ignored_claim("images") == ("x-*", "pr-1")
    assert found.ignored_claim("silent") == ()
    assert found.ignored_claim("stranger") == ("x",)
    assert dict(found.ignored_counts()) == {"images": 2, "legacy": 0, "silent": 0}


def test_what_is_ignored_follows_claims_and_grants() -> None:
    found = directory({"images": ("x-*",)})
    assert found.ignored_claim("images") == ("x-*",)
    found.set_claim("images", ("x-*", "y"))
    assert found.ignored_claim("images") == ("x-*", "y")
    found.set_grants([Grant(backend="images", application_sets=("x-1", "fb-*"))])
    assert found.ignored_claim("images") == ("y",)
    found.set_claim("images", ())
    assert found.ignored_claim("images") == ()


def test_a_backend_that_development_grants_everything_is_ignored_nothing() -> None:
    found = directory({"new": ("x-*",)}, others=lambda backend: Grant(backend=backend))
    assert found.ignored_claim("new") == ()
