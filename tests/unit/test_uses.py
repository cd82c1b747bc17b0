"""Which question may take over a baseline, and what makes a question another one."""

from __future__ import annotations

import msgspec
import pytest

from hub.core.freezes import lifting, same_sets
from hub.core.question import Question
from hub.core.uses import Origin, inherits, without

HERE = Origin(client="argocd", route="previews", namespace="")


def question(input_json: bytes) -> Question:
    return Question(
        client="argocd",
        route="previews",
        application_set_name="fb-1",
        application_set_namespace="",
        input_json=input_json,
    )


@pytest.mark.parametrize(
    ("change", "gone", "how"),
    [
        pytest.param({}, "", "", id="the same"),
        pytest.param({"namespace": "a"}, "", "copy", id="a namespace that was not sent before"),
        pytest.param({"client": "old"}, "", "", id="a client that can still ask"),
        pytest.param({"client": "old"}, "client", "move", id="a client that is gone"),
        pytest.param({"route": "old"}, "", "", id="a route that can still be asked"),
        pytest.param({"route": "old"}, "route", "move", id="a route that is gone"),
        pytest.param(
            {"client": "old", "route": "old"}, "client", "", id="a client that is gone, on a route that is not"
        ),
        pytest.param({"client": "old", "route": "old"}, "client route", "move", id="both are gone"),
        pytest.param({"client": "old", "namespace": "a"}, "client", "move", id="a namespace and a client that is gone"),
        pytest.param({"route": "old"}, "client", "", id="another route, and the client is gone"),
    ],
)
def test_a_baseline_is_taken_only_from_who_cannot_ask_any_more_or_asked_without_a_namespace(
    change: dict[str, str], gone: str, how: str
) -> None:
    there = msgspec.structs.replace(HERE, **change)
    assert inherits(HERE, there, client_gone="client" in gone, route_gone="route" in gone) == how


def test_two_namespaces_never_share() -> None:
    here, there = (msgspec.structs.replace(HERE, namespace=one) for one in ("a", "b"))
    assert inherits(here, there, client_gone=True, route_gone=True) == ""


@pytest.mark.parametrize(
    ("given", "ignored", "left"),
    [
        (b'{"env":"prod","sha":"1"}', ("sha",), b'{"env":"prod"}'),
        (b'{"n":1e22,"sha":{"a":[1,null]},"t":1.0}', ("sha", "other"), b'{"n":1e22,"t":1.0}'),
        (b'{"sha":"1"}', ("sha",), b"{}"),
        (b'{"env":"prod"}', ("sha",), b'{"env":"prod"}'),
        (b'{"env":"prod"}', (), b'{"env":"prod"}'),
        (b"{}", ("sha",), b"{}"),
    ],
)
def test_ignored_inputs_are_left_out_and_the_others_stay_byte_by_byte(
    given: bytes, ignored: tuple[str, ...], left: bytes
) -> None:
    assert without(question(given), ignored).input_json == left


def body(sets_json: str) -> bytes:
    return b'{"output":{"parameters":' + sets_json.encode() + b"}}"


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('[{"a":1}]', '[{"a":1}]', True),
        ('[{"a":1},{"b":2}]', '[{"b":2},{"a":1}]', True),
        ('[{"a":1,"b":2}]', '[{"b":2,"a":1}]', True),
        ('[{"a":1}]', '[{"a":1},{"a":1}]', False),
        ('[{"a":1}]', '[{"a":"1"}]', False),
        ('[{"a":1}]', '[{"a":1.0}]', False),
        ('[{"a":[1,2]}]', '[{"a":[2,1]}]', False),
        ('[{"a":123456789012345678901}]', '[{"a":123456789012345678902}]', False),
        ('[{"a":1}]', "[]", False),
    ],
)
def test_answers_are_the_same_if_their_sets_are_in_whatever_order(before: str, after: str, *, same: bool) -> None:
    assert same_sets(body(before), body(after)) is same


def test_very_large_answers_are_compared_byte_by_byte() -> None:
    large = ",".join(f'{{"a":"{"x" * 1000}{number}"}}' for number in range(2200))
    assert same_sets(body(f"[{large}]"), body(f"[{large}]"))
    assert not same_sets(body(f'[{{"b":1}},{large}]'), body(f'[{large},{{"b":1}}]'))


def test_the_command_that_lifts_a_freeze_names_what_is_frozen() -> None:
    assert lifting("") == "appset-hub unfreeze"
    assert lifting("(claims)") == "appset-hub unfreeze --claims"
    assert lifting("previews") == "appset-hub unfreeze --route previews"
