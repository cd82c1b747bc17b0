"""Backends without the SDK: on generated stubs alone, and on reflection alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.rig import port_of

if TYPE_CHECKING:
    from tests.e2e.support.rig import Hub, Rig

INPUT: dict[str, Any] = {"branch": "main", "digits": 12345678901234567890123, "text": "grün"}


@pytest.fixture(scope="module")
def hub(shared_rig: Rig) -> Hub:
    shared_rig.configure(
        backends=[
            shared_rig.backend(name, application_sets=[f"{name}-*"], addresses=["127.0.0.1:*"])
            for name in ("stubs-attach", "stubs-register", "reflected-attach", "reflected-register")
        ]
    )
    return shared_rig.hub()


@pytest.mark.parametrize("how", ["attach", "register"])
@pytest.mark.parametrize("author", ["stubs", "reflected"])
def test_a_backend_without_the_sdk_registers_and_serves(shared_rig: Rig, hub: Hub, author: str, how: str) -> None:
    name = f"{author}-{how}"
    options = ["--application-sets", f"{name}-*", *(["--register"] if how == "register" else [])]
    start = shared_rig.stubs if author == "stubs" else shared_rig.reflected
    start(name, hub, *options)
    joined = hub.event("instance_joined", backend=name)
    assert joined["kind"] == {"attach": "attached", "register": "registered"}[how]
    assert hub.ask(f"{name}-1", INPUT).sets == [{"from": name, **INPUT}]
    hub.ask("another-1").refuses(404, "nobody_serves")


def test_a_backend_on_stubs_is_dialled_where_the_configuration_says(rig: Rig) -> None:
    backend = rig.stubs("images", None)
    address = f"127.0.0.1:{port_of(backend)}"
    rig.configure(backends=[{"name": "images", "address": address, "application_sets": ["fb-*"]}])
    hub = rig.hub()
    assert hub.event("instance_joined", backend="images")["kind"] == "configured"
    assert hub.ask("fb-1", INPUT).sets == [{"from": "images", **INPUT}]


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        pytest.param("images", [], "PERMISSION_DENIED", id="the token of another backend"),
        pytest.param("nobody", [], "PERMISSION_DENIED", id="a name that is not configured"),
        pytest.param("owners", ["--register"], "PERMISSION_DENIED", id="an address that is not allowed"),
    ],
)
def test_a_backend_that_may_not_register_is_told_why(rig: Rig, name: str, options: list[str], code: str) -> None:
    rig.configure(backends=[rig.backend("images"), rig.backend("owners", application_sets=["fb-*"])])
    hub = rig.hub()
    rig.token(name, "owners-token")
    backend = rig.stubs(name, hub, "--application-sets", "fb-*", *options)
    backend.says(code)
    assert backend.wait() != 0
    assert hub.event("registration_refused")["code"] == code
    hub.ask("fb-1").refuses(404, "nobody_serves")
