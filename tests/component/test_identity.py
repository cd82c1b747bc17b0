"""What makes a set the same set in the next answer: who says so, and what the guard makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.combine import AnswerRules, First, Merge
from hub.core.directory import Grant
from hub.core.errors import AnswerHeld, AnswerRefused, KeysRefused
from hub.core.events import AnswerHeldBack, AnswerNoticed, DropObserved, KeysTaught
from hub.core.guard import GuardPolicy
from hub.core.routes import CLAIMED, Route, Trust
from hub.service.remarks import UNFIT_KEYS, UNKNOWN_KEYS
from tests.support.fakes import FakeLink, FakeStore, Says, sets
from tests.support.service import GRANTS, Service, route
from tests.support.virtual import after, on_virtual_time

if TYPE_CHECKING:
    from hub.service.ports import RawAnswer

PAD = "x" * 60  # Makes a set too long for its identity to hold all of it.


def release(tag: str, count: int = 8, *, pad: str = "", **more: Any) -> RawAnswer:
    """A list of services, each with the image tag that is deployed."""
    return sets(
        *({"name": f"svc-{number}", "tag": tag, **({"pad": pad} if pad else {}), **more} for number in range(count))
    )


def named(*names: str, **more: Any) -> RawAnswer:
    return sets(*({"name": name, **more} for name in names))


def guarded(*members: str, name: str = "previews", **more: Any) -> Route:
    return route(
        name, *members, trust=Trust(guard=GuardPolicy(release_after_s=more.pop("release_after_s", None))), **more
    )


def by_name(*keys: str) -> AnswerRules:
    return AnswerRules(unique_by=keys or ("name",))


async def hub_of(
    *answers: RawAnswer,
    of: Route | None = None,
    store: FakeStore | None = None,
    unique_by: tuple[str, ...] = (),
    **more: Any,
) -> Service:
    """A hub with one backend that gives these answers, one after the other."""
    hub = Service(of or guarded(), store=store, **more)
    await hub.taught.open()
    await hub.guard.open()
    await hub.attach(FakeLink("one", Says(*answers)), unique_by=unique_by)
    return hub


def latest(store: FakeStore) -> Any:
    (value,) = [value for (kind, _), value in store.values.items() if kind == "history"]
    return json.loads(value)["changes"][-1]


# Who says so.


@pytest.mark.parametrize("count", [8, 100, 1000])
@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize("source", ["route", "backend", "declared"])
@on_virtual_time
async def test_a_release_passes_where_keys_identify_its_sets(count: int, pad: str, source: str) -> None:
    grants = (Grant(backend="images", expected=False, unique_by=("name",) if source == "backend" else ()),)
    hub = await hub_of(
        release("1.4.2", count, pad=pad),
        release("1.5.0", count, pad=pad),
        of=guarded(rules=by_name() if source == "route" else AnswerRules()),
        unique_by=("name",) if source == "declared" else (),
        grants=grants,
    )
    hub.membership.configure(grants)
    await hub.ask()
    assert {one["tag"] for one in await hub.ask()} == {"1.5.0"}
    change = latest(hub.store)
    assert (change["came"], change["went"], change["changed"]) == (0, 0, count)


@on_virtual_time
async def test_a_loss_is_held_where_keys_identify_the_sets_and_the_message_counts_what_is_missing() -> None:
    hub = await hub_of(release("1", 10), release("2", 4), of=guarded(rules=by_name()))
    await hub.ask()
    assert "6 of 10 parameter sets are missing" in str(await hub.refusal())
    (held,) = hub.guard.held()
    assert (held.went, held.changed, held.missing) == (6, 4, tuple(f"svc-{number}" for number in range(4, 10)))


@on_virtual_time
async def test_renamed_pairs_are_gone_even_if_one_key_of_them_stays() -> None:
    old = sets(*({"name": f"svc-{number}", "env": "prod"} for number in range(6)))
    new = sets(*({"name": f"svc-{number}", "env": "production"} for number in range(6)))
    hub = await hub_of(old, new, of=guarded(rules=by_name("name", "env")))
    await hub.ask()
    assert "6 of 6 parameter sets are missing" in str(await hub.refusal())


@on_virtual_time
async def test_the_first_source_that_says_something_counts() -> None:
    grants = (Grant(backend="images", expected=False, unique_by=("id",)),)
    hub = await hub_of(named("a"), of=guarded(rules=by_name()), unique_by=("other",), grants=grants)
    hub.membership.configure(grants)
    (view,) = hub.overview.routes()[0].identity
    assert (view.keys, view.source) == (("name",), "route")
    hub.set_routes(guarded())
    (view,) = hub.overview.routes()[0].identity
    assert (view.keys, view.source) == (("id",), "backend")
    hub.membership.configure(GRANTS)
    (view,) = hub.overview.routes()[0].identity
    assert (view.keys, view.source) == (("other",), "declared")


@on_virtual_time
async def test_an_old_instance_that_declares_nothing_does_not_take_back_what_a_new_one_declares() -> None:
    hub = await hub_of(named("a"), unique_by=("name",))
    await hub.attach(FakeLink("old", Says(named("a"))))
    assert hub.overview.routes()[0].identity[0].keys == ("name",)


@on_virtual_time
async def test_when_all_instances_are_new_ones_without_keys_the_backend_declares_none() -> None:
    hub = Service(guarded())
    first = await hub.attach(FakeLink("one"), unique_by=("name",))
    hub.lose(first)
    assert hub.overview.routes()[0].identity[0].keys == ("name",), "absence changes nothing"
    await hub.attach(FakeLink("two"))
    assert hub.overview.routes()[0].identity[0].keys == ()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (sets({"name": "a"}, {"other": "b"}), 'set 2 of 2 lacks the key "name"'),
        (sets({"name": "a"}, {"name": None}), 'set 2 of 2 lacks the key "name"'),
        (sets({"name": ""}, {"name": "ok"}), 'set 1 of 2 has an empty string under the key "name"'),
        (sets({"name": "a"}, {"name": "a", "x": "y"}), 'sets 1 and 2 of 2 have equal values under "name"'),
    ],
    ids=["missing", "null", "empty", "twice"],
)
@pytest.mark.parametrize("source", ["route", "declared"])
@on_virtual_time
async def test_an_answer_that_breaks_configured_or_declared_keys_is_refused(
    answer: RawAnswer, problem: str, source: str
) -> None:
    hub = await hub_of(
        answer,
        of=guarded(rules=by_name() if source == "route" else AnswerRules()),
        unique_by=("name",) if source == "declared" else (),
    )
    error = await hub.refusal()
    assert isinstance(error, AnswerRefused)
    assert str(error).endswith(problem)
    assert ('backend "images"' in str(error)) == (source == "declared")


# Members with keys of their own.


async def two_members(
    images: tuple[RawAnswer, ...], owners: tuple[RawAnswer, ...], *, keys: tuple[str, ...], **more: Any
) -> Service:
    hub = Service(guarded("images", "owners", **more))
    await hub.attach(FakeLink("i", Says(*images)), "images", unique_by=keys)
    await hub.attach(FakeLink("o", Says(*owners)), "owners")
    return hub


@on_virtual_time
async def test_sets_of_two_members_are_not_taken_for_each_other() -> None:
    eight = [f"svc-{number}" for number in range(8)]
    hub = Service(guarded("images", "owners"))
    await hub.attach(FakeLink("i", Says(named(*eight, of="images"), sets())), "images", unique_by=("name",))
    await hub.attach(FakeLink("o", Says(named(*eight, of="owners"))), "owners", unique_by=("name",))
    assert len(await hub.ask()) == 16
    assert len(await hub.ask()) == 8, "half is not more than half"
    assert latest(hub.store)["went_shown"] == [f"images: {name}" for name in eight]


@on_virtual_time
async def test_members_with_and_without_keys_are_combined() -> None:
    hub = await two_members((release("1"), release("2"), release("3", 1)), (named("x", "y"),), keys=("name",))
    await hub.ask()
    await hub.ask()
    change = latest(hub.store)
    assert (change["came"], change["went"], change["changed"]) == (0, 0, 8)
    assert "7 of 10 parameter sets are missing" in str(await hub.refusal())


@on_virtual_time
async def test_a_member_that_is_added_holds_nothing_although_identities_get_its_name() -> None:
    store = FakeStore()
    hub = await hub_of(release("1", pad=PAD), store=store, unique_by=("name",))
    await hub.ask()
    more = Service(guarded("images", "owners"), store=store)
    await more.attach(
        FakeLink("i", Says(release("2", pad=PAD), release("2", 2, pad=PAD))), "images", unique_by=("name",)
    )
    await more.attach(FakeLink("o", Says(named("team"))), "owners", unique_by=("name",))
    assert len(await more.ask()) == 9
    assert isinstance(await more.refusal(), AnswerHeld)


@on_virtual_time
async def test_the_second_member_of_first_gives_the_same_sets() -> None:
    hub = Service(guarded("images", "owners", combine=First()))
    down = await hub.attach(FakeLink("i", Says(release("1"))), "images", unique_by=("name",))
    await hub.attach(FakeLink("o", Says(release("2"))), "owners", unique_by=("name",))
    await hub.ask()
    hub.lose(down)
    request = hub.asking()
    await after(30.0)
    assert {one["tag"] for one in await request} == {"2"}


@on_virtual_time
async def test_what_a_merge_joins_on_identifies_its_sets() -> None:
    hub = Service(guarded("images", "owners", combine=Merge(on=("name",))))
    await hub.attach(FakeLink("i", Says(release("1"), release("2"))), "images")
    await hub.attach(FakeLink("o", Says(sets())), "owners")
    await hub.ask()
    await hub.ask()
    assert latest(hub.store)["changed"] == 8


# Without any keys.


@pytest.mark.parametrize("count", [8, 100, 1000])
@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize("restarted", [False, True])
@on_virtual_time
async def test_without_keys_a_release_is_held_with_a_suggestion(count: int, pad: str, *, restarted: bool) -> None:
    store = FakeStore()
    hub = await hub_of(release("1.4.2", count, pad=pad), release("1.5.0", count, pad=pad), store=store)
    await hub.ask()
    if restarted:
        hub = await hub_of(release("1.5.0", count, pad=pad), store=store)
    error = await hub.refusal()
    (held,) = hub.guard.held()
    assert str(error) == (
        f'route "previews": {count} of {count} sets changed, 0 missing; the hub does not know which keys identify a '
        "set. Suggested: unique_by: [name]. Nothing was changed. If this is intended, run: "
        f"appset-hub accept {held.id} --unique-by name"
    )
    assert (held.went, held.changed, held.came, held.suggested) == (0, count, 0, ("name",))


@on_virtual_time
async def test_each_further_release_has_the_same_id_and_message() -> None:
    hub = await hub_of(*(release(f"1.{number}") for number in range(5)))
    await hub.ask()
    assert len({str(await hub.refusal()) for _ in range(4)}) == 1
    assert hub.guard.held_count == 1
    assert {(event.went, event.changed) for event in hub.events.of(AnswerHeldBack)} == {(0, 8)}


@pytest.mark.parametrize(
    ("before", "later", "suggested"),
    [
        pytest.param(
            [{"tag": f"{n}-1", "name": f"svc-{n}"} for n in range(6)],
            [{"tag": f"{n}-2", "name": f"svc-{n}"} for n in range(6)],
            ("name",),
            id="the key that stays, not the one that changes",
        ),
        pytest.param(
            [{"n": n, "name": f"svc-{n}", "tag": 1} for n in range(6)],
            [{"n": n, "name": f"svc-{n}", "tag": 2} for n in range(6)],
            ("name",),
            id="never a position",
        ),
        pytest.param(
            [{"n": str(n), "tag": 1} for n in range(6)],
            [{"n": str(n), "tag": 2} for n in range(6)],
            (),
            id="not even if there is nothing else",
        ),
        pytest.param(
            [{"name": name, "env": env, "tag": 1} for name in "abc" for env in ("dev", "prod")],
            [{"name": name, "env": env, "tag": 2} for name in "abc" for env in ("dev", "prod")],
            ("name", "env"),
            id="two keys together",
        ),
        pytest.param(
            [{"name": f"old-{n}", "tag": f"{n}-1"} for n in range(6)],
            [{"name": f"new-{n}", "tag": f"{n}-2"} for n in range(6)],
            (),
            id="nothing stays",
        ),
        pytest.param(
            [{"name": f"svc-{n}", "note; rm -rf": f"x{n}", "tag": 1} for n in range(6)],
            [{"name": f"svc-{n % 3}", "note; rm -rf": f"x{n}", "tag": 2} for n in range(6)],
            (),
            id="nothing that a shell would run",
        ),
    ],
)
@on_virtual_time
async def test_what_is_suggested(before: list[Any], later: list[Any], suggested: tuple[str, ...]) -> None:
    hub = await hub_of(sets(*before), sets(*later))
    await hub.ask()
    message = str(await hub.refusal())
    (held,) = hub.guard.held()
    assert held.suggested == suggested
    what = "6 of 6 sets changed, 0 missing" if suggested else "6 of 6 sets are missing or changed"
    assert f"{what}; the hub does not know which keys identify a set" in message
    assert ("Suggested" in message) == bool(suggested)


@on_virtual_time
async def test_fewer_and_other_sets_without_keys_are_said_to_be_missing_or_changed() -> None:
    hub = await hub_of(named(*"abcdefghij"), named("v", "w", "x", "y"))
    await hub.ask()
    assert "10 of 10 sets are missing or changed; the hub does not know" in str(await hub.refusal())


@on_virtual_time
async def test_a_hub_that_does_not_know_the_keys_says_so_once_for_a_route_and_backend() -> None:
    hub = await hub_of(release("1"), release("1", 7), release("1", 6))
    for _ in range(3):
        await hub.ask()
    (event,) = [one for one in hub.events.of(AnswerNoticed) if one.notice.kind == UNKNOWN_KEYS]
    assert (event.route, event.backend, event.notice.severity) == ("previews", "images", "info")
    known = await hub_of(release("1"), of=guarded(rules=by_name()))
    await known.ask()
    assert known.events.of(AnswerNoticed) == []


@on_virtual_time
async def test_where_the_guard_only_observes_a_release_counts_as_changed() -> None:
    of = route("previews", trust=Trust(guard=GuardPolicy(mode="observe")))
    hub = await hub_of(release("1"), release("2"), of=of)
    await hub.ask()
    assert len(await hub.ask()) == 8
    assert [(event.went, event.changed) for event in hub.events.of(DropObserved)] == [(0, 8)]


# An accept covers what is missing.


@on_virtual_time
async def test_an_acceptance_covers_a_survivor_that_changes_in_between() -> None:
    first = sets(*({"name": f"svc-{n}", "sha": f"{n}aa"} for n in range(10)))
    two = sets({"name": "svc-0", "sha": "0aa"}, {"name": "svc-1", "sha": "1aa"})
    later = sets({"name": "svc-0", "sha": "0aa"}, {"name": "svc-1", "sha": "1bb"})
    hub = await hub_of(first, two, later, first, two)
    await hub.ask()
    message = str(await hub.refusal())
    (held,) = hub.guard.held()
    assert "8 of 10 parameter sets are missing" in message
    await hub.guard.decide(held.id, "accepted", "ada")
    assert [one["sha"] for one in await hub.ask()] == ["0aa", "1bb"]
    assert len(await hub.ask()) == 10
    assert isinstance(await hub.refusal(), AnswerHeld), "it passes once"


@on_virtual_time
async def test_a_survivor_that_changes_gives_the_same_id_and_message() -> None:
    first = sets(*({"name": f"svc-{n}", "sha": f"{n}aa"} for n in range(10)))
    later = [sets(*({"name": f"svc-{n}", "sha": sha} for n in range(2))) for sha in ("0aa", "bb", "cc")]
    hub = await hub_of(first, *later)
    await hub.ask()
    assert len({str(await hub.refusal()) for _ in range(3)}) == 1
    assert hub.guard.held_count == 1


@on_virtual_time
async def test_an_accepted_release_covers_no_answer_that_loses_a_set() -> None:
    hub = await hub_of(release("1"), release("2"), release("3", 7))
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    await hub.guard.decide(held.id, "accepted", "ada")
    assert "7 of 8 sets changed, 1 missing" in str(await hub.refusal())
    (other,) = hub.guard.held()
    assert (other.id != held.id, other.decision) == (True, "")


@on_virtual_time
async def test_an_acceptance_without_any_keys_covers_no_answer_with_fewer_sets() -> None:
    before = [{"name": f"old-{n}"} for n in range(8)]
    hub = await hub_of(sets(*before), named(*(f"a-{n}" for n in range(8))), named("b-1"), sets())
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    assert (held.blind, held.went) == (True, 8)
    await hub.guard.decide(held.id, "accepted", "ada")
    assert isinstance(await hub.refusal(), AnswerHeld)
    assert isinstance(await hub.refusal(), AnswerHeld)


@on_virtual_time
async def test_time_releases_answers_that_lose_the_same_whatever_else_changes_in_them() -> None:
    hub = await hub_of(
        release("1", 10), *(release(str(n), 4) for n in range(2, 9)), of=guarded(rules=by_name(), release_after_s=60.0)
    )
    await hub.ask()
    await hub.refusal()
    await after(40.0)
    await hub.refusal()
    await after(21.0)
    assert len(await hub.ask()) == 4


@on_virtual_time
async def test_an_acceptance_of_an_older_hub_covers_just_that_answer() -> None:
    store = FakeStore()
    hub = await hub_of(release("1", 10), release("1", 4), store=store)
    await hub.ask()
    await hub.refusal()
    ((kind, key), value) = next(item for item in store.values.items() if item[0][0] == "held")
    old = json.loads(value)
    for field in ("changed", "lost", "keyless", "blind", "suggested"):
        old.pop(field)
    store.values[kind, key] = json.dumps({**old, "decision": "accepted", "decided_by": "ada"}).encode()
    other = await hub_of(release("2", 4), store=store)
    assert isinstance(await other.refusal(), AnswerHeld)
    store.values[kind, key] = json.dumps({**old, "decision": "accepted", "decided_by": "ada"}).encode()
    again = await hub_of(release("1", 4), store=store)
    assert len(await again.ask()) == 4


# What an operator teaches.


@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@on_virtual_time
async def test_after_keys_were_taught_no_release_of_the_route_is_held(pad: str) -> None:
    store = FakeStore()
    hub = await hub_of(*(release(str(n), pad=pad) for n in (1, 2, 3, 3, 4)), store=store)
    await hub.ask("fb-1")
    await hub.refusal("fb-1")
    (held,) = hub.guard.held()
    await hub.guard.decide(held.id, "accepted", "ada", ("name",))
    for _ in range(3):
        assert len(await hub.ask("fb-1")) == 8
    assert latest(store)["changed"] == 8
    again = await hub_of(release("5", pad=pad), release("6", 2, pad=pad), store=store)
    assert len(await again.ask("fb-1")) == 8, "it lasts"
    assert "6 of 8 parameter sets are missing" in str(await again.refusal("fb-1"))
    assert [(one.action, one.who, one.route, one.keys) for one in await again.guard.audit()][:2] == [
        ("accept", "ada", "", ()),
        ("teach", "ada", "previews", ("name",)),
    ]
    (view,) = again.overview.routes()[0].identity
    assert (view.keys, view.source, view.by) == (("name",), "taught", "ada")


@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize("restarted", [False, True])
@on_virtual_time
async def test_a_release_is_held_once_for_all_questions_of_the_route(pad: str, *, restarted: bool) -> None:
    store = FakeStore()
    names = [f"fb-{number}" for number in range(5)]
    hub = await hub_of(*[release("1", pad=pad)] * 5, release("2", pad=pad), store=store)
    for name in names:
        await hub.ask(name)
    if restarted:
        hub = await hub_of(release("2", pad=pad), store=store)
    for name in names:
        await hub.refusal(name)
    await hub.guard.decide(hub.guard.held()[2].id, "accepted", "ada", ("name",))
    for name in names:
        assert len(await hub.ask(name)) == 8
    assert hub.guard.held() == []


@on_virtual_time
async def test_keys_that_do_not_tell_the_sets_apart_are_refused_and_nothing_changes() -> None:
    hub = await hub_of(release("1"), release("2"))
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    for keys, problem in ((("tag",), "equal values"), (("nome",), 'lacks the key "nome"')):
        with pytest.raises(KeysRefused, match=problem):
            await hub.guard.decide(held.id, "accepted", "ada", keys)
    assert hub.guard.held() == [held]
    assert await hub.guard.audit() == []
    assert isinstance(await hub.refusal(), AnswerHeld)


@on_virtual_time
async def test_keys_cannot_be_tried_on_an_answer_that_this_process_has_not_heard() -> None:
    store = FakeStore()
    hub = await hub_of(release("1"), release("2"), store=store)
    await hub.ask()
    await hub.refusal()
    again = await hub_of(release("2"), store=store)
    (held,) = again.guard.held()
    with pytest.raises(KeysRefused, match="once Argo CD has asked again"):
        await again.guard.decide(held.id, "accepted", "ada", ("name",))
    await again.refusal()
    await again.guard.decide(held.id, "accepted", "ada", ("name",))
    assert len(await again.ask()) == 8


@on_virtual_time
async def test_other_keys_than_the_suggested_ones_may_be_taught() -> None:
    both = [sets(*({"name": f"svc-{n}", "id": f"{n}x", "tag": tag} for n in range(8))) for tag in "ab"]
    hub = await hub_of(*both)
    await hub.ask()
    await hub.refusal()
    (held,) = hub.guard.held()
    await hub.guard.decide(held.id, "accepted", "ada", ("id", "name"))
    assert len(await hub.ask()) == 8


@on_virtual_time
async def test_where_claims_make_the_route_the_backend_is_taught() -> None:
    hub = Service()
    hub.routing.set_routes((), claimed=Route(name=CLAIMED, members=(), trust=Trust()))
    await hub.attach(FakeLink("one", Says(release("1"), release("1"), release("2"))), "images", "fb-*")
    await hub.ask("fb-1")
    await hub.ask("fb-2")
    await hub.refusal("fb-1")
    await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada", ("name",))
    assert len(await hub.ask("fb-1")) == 8
    assert len(await hub.ask("fb-2")) == 8
    assert [(event.kind, event.name) for event in hub.events.of(KeysTaught)] == [("backend", "images")]
    images = next(one for one in hub.overview.backends() if one.name == "images")
    assert (images.identity.keys, images.identity.source) == (("name",), "taught")


@on_virtual_time
async def test_where_the_configuration_names_keys_none_can_be_taught() -> None:
    hub = await hub_of(release("1", 10), release("1", 2), of=guarded(rules=by_name()))
    await hub.ask()
    await hub.refusal()
    with pytest.raises(KeysRefused, match="has keys already"):
        await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada", ("tag",))


@on_virtual_time
async def test_an_answer_that_taught_keys_do_not_fit_is_taken_by_whole_sets_with_a_notice() -> None:
    twice = sets(*({"name": f"svc-{n // 2}", "tag": f"t{n}"} for n in range(8)))
    hub = await hub_of(release("1"), release("2"), release("3"), twice, release("3", 7), release("4"))
    await hub.ask()
    await hub.refusal()
    await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada", ("name",))
    await hub.ask()
    assert isinstance(await hub.refusal(), AnswerHeld)
    (event,) = [one for one in hub.events.of(AnswerNoticed) if one.notice.kind == UNFIT_KEYS]
    assert 'sets 1 and 2 of 8 have equal values under "name"' in event.notice.text
    assert len(await hub.ask()) == 7
    assert len(await hub.ask()) == 8


@on_virtual_time
async def test_what_was_taught_can_be_taken_back_and_that_holds_nothing() -> None:
    store = FakeStore()
    hub = await hub_of(release("1"), release("2"), release("2"), release("3"), release("4"), store=store)
    await hub.ask()
    await hub.refusal()
    await hub.guard.decide(hub.guard.held()[0].id, "accepted", "ada", ("name",))
    await hub.ask()
    assert (await hub.taught.forget("route", "previews", "bob")).forgotten == ("name",)
    assert (await hub.taught.forget("route", "previews", "bob")).forgotten == ()
    assert len(await hub.ask()) == 8, "compared by the old keys once"
    assert "8 of 8 sets changed" in str(await hub.refusal())
    assert [(one.action, one.who) for one in await hub.guard.audit()][-1] == ("unteach", "bob")
    again = await hub_of(release("4"), store=store)
    assert again.overview.routes()[0].identity[0].keys == ()


# Keys that change.


@pytest.mark.parametrize("pad", ["", PAD], ids=["short", "long"])
@pytest.mark.parametrize(
    ("before", "later"),
    [
        ((), ("name",)),
        (("name",), ()),
        (("name",), ("name", "zone")),
        (("name", "zone"), ("name",)),
        (("name",), ("id",)),
        ((), ("id", "name")),
    ],
    ids=str,
)
@on_virtual_time
async def test_other_keys_and_a_release_at_once_hold_nothing_but_a_loss(
    pad: str, before: tuple[str, ...], later: tuple[str, ...]
) -> None:
    def answer(tag: str, count: int = 10) -> RawAnswer:
        more = {"pad": pad} if pad else {}
        return sets(*({"name": f"svc-{n}", "id": f"{n}x", "zone": "eu", "tag": tag, **more} for n in range(count)))

    store = FakeStore()
    hub = await hub_of(answer("1"), store=store, of=guarded(rules=AnswerRules(unique_by=before)))
    await hub.ask()
    lossy = await hub_of(answer("2", 4), store=store, of=guarded(rules=AnswerRules(unique_by=later)))
    assert "6 of 10 parameter sets are missing" in str(await lossy.refusal())
    again = await hub_of(answer("2"), answer("2", 4), store=store, of=guarded(rules=AnswerRules(unique_by=later)))
    assert len(await again.ask()) == 10
    assert isinstance(await again.refusal(), AnswerHeld)
    assert again.guard.held()[0].went == 6


@on_virtual_time
async def test_what_cannot_be_found_under_other_keys_is_missing() -> None:
    store = FakeStore()
    hub = await hub_of(named(*"abcdefgh"), store=store, of=guarded(rules=by_name()))
    await hub.ask()
    renamed = sets(*({"app": name} for name in "abcdefgh"))
    again = await hub_of(renamed, store=store, of=guarded(rules=by_name("app")))
    assert "8 of 8 parameter sets are missing" in str(await again.refusal())


@pytest.mark.parametrize("keys", [(), ("name",)], ids=["whole", "keys"])
@on_virtual_time
async def test_a_baseline_of_an_older_hub_is_read_and_brought_up_to_date(keys: tuple[str, ...]) -> None:
    store = FakeStore()
    of = guarded(rules=AnswerRules(unique_by=keys))
    hub = await hub_of(release("1", pad=PAD), store=store, of=of)
    await hub.ask()
    ((kind, key), value) = next(item for item in store.values.items() if item[0][0] == "baselines")
    old = {field: json.loads(value)[field] for field in ("subject", "identities", "accepted_at_s")}
    store.values[kind, key] = json.dumps(old).encode()
    again = await hub_of(release("1", pad=PAD), release("1", 2, pad=PAD), store=store, of=of)
    assert len(await again.ask()) == 8
    assert "basis" in json.loads(store.values[kind, key])
    assert "6 of 8 parameter sets are missing" in str(await again.refusal())


@on_virtual_time
async def test_a_baseline_of_an_older_hub_may_meet_new_keys_at_once() -> None:
    store = FakeStore()
    hub = await hub_of(release("1"), store=store)
    await hub.ask()
    ((kind, key), value) = next(item for item in store.values.items() if item[0][0] == "baselines")
    old = {field: json.loads(value)[field] for field in ("subject", "identities", "accepted_at_s")}
    store.values[kind, key] = json.dumps(old).encode()
    again = await hub_of(release("2"), store=store, unique_by=("name",))
    assert len(await again.ask()) == 8


@on_virtual_time
async def test_a_baseline_takes_half_as_much_room_again_at_most() -> None:
    def size(store: FakeStore) -> tuple[int, int]:
        record = json.loads(next(value for (kind, _), value in store.values.items() if kind == "baselines"))
        return sum(len(one) + 3 for one in record["identities"]), len(record["rows"])

    many = [
        {
            "name": f"service-{n:04}",
            "cluster": f"eu-{n % 7}",
            "url": f"https://{n}.example.com",
            "sha": f"{n:040}",
            "image": f"registry.example.com/team/{n}",
            "owner": f"team-{n % 30}",
            "n": n,
        }
        for n in range(1000)
    ]
    for of in (guarded(), guarded(rules=by_name())):
        store = FakeStore()
        hub = await hub_of(sets(*many), store=store, of=of)
        await hub.ask()
        identities, rows = size(store)
        assert rows <= identities / 2, (identities, rows)
