"""Who may ask for what."""

from __future__ import annotations

import pytest

from hub.core.clients import Client
from hub.core.errors import NotAllowed


def test_a_client_may_ask_for_everything_by_default() -> None:
    client = Client(name="argocd")
    client.check_name("anything")
    client.check_route("anything")
    client.check_route("(claims)")


def test_a_client_may_ask_only_for_its_names() -> None:
    client = Client(name="argocd", application_sets=("fb-*", "shop"))
    client.check_name("fb-1")
    client.check_name("shop")
    with pytest.raises(NotAllowed, match=r'^client "argocd" may not ask for ApplicationSet "old-1"$'):
        client.check_name("old-1")


def test_a_client_may_use_only_its_routes() -> None:
    client = Client(name="argocd", routes=("previews",))
    client.check_route("previews")
    with pytest.raises(NotAllowed, match=r'^client "argocd" may not use route "prod"$'):
        client.check_route("prod")
    with pytest.raises(NotAllowed):
        client.check_route("(claims)")


def test_a_client_without_patterns_may_nothing() -> None:
    with pytest.raises(NotAllowed):
        Client(name="argocd", application_sets=()).check_name("fb-1")
