"""Mistakes in how a backend is started: refused before anything starts, with the name of the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from appset_hub import Backend, Connection, InvalidSettings, Pace, Question, serve
from appset_hub.backoff import Backoff

if TYPE_CHECKING:
    from pathlib import Path


def schema(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"not": found}
    return found


async def nothing(_question: Question) -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"name": "Images"}, 'name: "Images" must be lower-case', id="upper case"),
        pytest.param({"name": ""}, 'name: ""', id="no name"),
        pytest.param({"name": "a" * 64}, "at most 63", id="a long name"),
        pytest.param({"name": "a", "application_sets": "fb-*"}, 'such as ["fb-*"]', id="text as claim"),
        pytest.param({"name": "a", "function": 1}, "function: int cannot be called", id="no function"),
        pytest.param({"name": "a", "max_in_flight": -1}, "max_in_flight", id="negative in flight"),
        pytest.param({"name": "a", "version": "x" * 129}, "version", id="a long version"),
        pytest.param({"name": "a", "input_schema": {"x": b""}}, "input_schema: no JSON", id="a schema that is no JSON"),
        *(
            pytest.param(
                {"name": "a", "input_schema": schema(levels)},
                "input_schema: nested deeper than 200",
                id=f"{levels} levels",
            )
            for levels in (201, 2000, 20_000)
        ),
    ],
)
def test_a_backend_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Backend(**{"function": nothing, **settings})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({}, "hub: needed", id="nowhere"),
        pytest.param({"hub": "hub"}, 'hub: "hub" must be host:port', id="a hub without port"),
        pytest.param({"hub": "hub:99999"}, "must be host:port", id="a port that is none"),
        pytest.param({"hub": "hub:1", "address": "a:1"}, "address: means nothing without listen", id="address alone"),
        pytest.param({"hub": "hub:1", "listen": ":1"}, "address: needed", id="registering nowhere"),
        pytest.param({"listen": ":1", "address": "a:1"}, "hub: needed", id="registering with nobody"),
        pytest.param({"hub": "hub:1", "token_file": "/nowhere"}, 'token_file: cannot read "/nowhere"', id="no token"),
        pytest.param({"hub": "hub:1", "cert_file": "a"}, "cert_file, key_file: one needs the other", id="half a pair"),
        pytest.param({"hub": "hub:1", "cert_file": "a", "key_file": "b"}, "needs ca_file", id="TLS without trust"),
        pytest.param({"hub": "hub:1", "client_ca_file": "a"}, "client_ca_file: needs listen", id="nobody dials"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Connection(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["", "  \n", "two words", "t\x00ken", "tökén"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(InvalidSettings, match="holds no token") as caught:
        serve(nothing, name="images", hub="127.0.0.1:1", token_file=file)
    assert "words" not in str(caught.value)


def test_a_schema_of_two_hundred_levels_is_good() -> None:
    backend = Backend(function=nothing, name="images", input_schema=schema(200))
    assert backend.input_schema_json().count(b"{") == 200


def test_pauses_double_up_to_the_cap_and_are_shortened_by_chance() -> None:
    pace = Pace(first_retry_s=0.1, longest_retry_s=0.5)
    steady, lucky = Backoff(pace, lambda: 0.0), Backoff(pace, lambda: 1.0)
    assert [steady.after_failure_s() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert [lucky.after_failure_s() for _ in range(5)] == [0.05, 0.1, 0.2, 0.25, 0.25]
    steady.reset()
    assert steady.after_failure_s() == 0.1


def test_the_default_pace_is_back_within_a_second() -> None:
    assert Pace().first_retry_s <= 0.2
    assert Pace().longest_retry_s < 1
