"""Who holds a token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Forbidden, TokenMissing, TokenUnresolved, TokenWrong
from hub.core.tokens import TokenRing, authenticate, bearer

KEY = b"k" * 32
RING = TokenRing([("strong", "argocd"), ("other", "argocd"), ("mine", "ci")], KEY)


@pytest.mark.parametrize(("token", "holder"), [("strong", "argocd"), ("other", "argocd"), ("mine", "ci")])
def test_each_token_leads_to_its_holder(token: str, holder: str) -> None:
    assert RING.holder(token) == holder


@pytest.mark.parametrize("token", ["", "stron", "strong ", "Strong", "strong\0", "strøng", "\udcff"])
def test_nobody_holds_anything_else(token: str) -> None:
    assert RING.holder(token) is None


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_ring_knows_exactly_the_tokens_that_it_was_given(token: str, other: str) -> None:
    ring = TokenRing([(token, "holder")], KEY)
    assert (ring.holder(other) is not None) == (other == token)


def test_an_empty_ring_is_false_and_lets_nobody_in() -> None:
    assert not TokenRing((), KEY)
    assert RING
    assert TokenRing[str]((), KEY).holder("strong") is None


@pytest.mark.parametrize(
    "header",
    ["Bearer strong", "bearer strong", "BEARER   strong  "],
    ids=["as written", "lower case", "with white space"],
)
def test_a_bearer_token_lets_its_holder_in(header: str) -> None:
    assert authenticate(RING, header) == "argocd"


@pytest.mark.parametrize("header", [None, "", "Basic c3Ryb25n", "strong", "Bearer", "Bearer ", "Bearer   "])
def test_without_a_bearer_token_the_message_says_so(header: str | None) -> None:
    with pytest.raises(TokenMissing, match='the ConfigMap\'s "token" names the key'):
        authenticate(RING, header)


def test_a_reference_that_was_not_resolved_says_where_to_look() -> None:
    with pytest.raises(TokenUnresolved, match="the Secret lacks the key"):
        authenticate(RING, "Bearer $plugin.myplugin.token")


def test_a_token_that_begins_with_a_dollar_is_good_if_somebody_holds_it() -> None:
    assert authenticate(TokenRing([("$trong", "argocd")], KEY), "Bearer $trong") == "argocd"


def test_a_wrong_token_is_refused_without_being_shown() -> None:
    with pytest.raises(TokenWrong) as refused:
        authenticate(RING, "Bearer secret-guess")
    assert "secret-guess" not in str(refused.value)
    assert "strong" not in str(refused.value)
    assert isinstance(refused.value, Forbidden)


def test_bearer_gives_the_token_itself() -> None:
    assert bearer("Bearer a b") == "a b"
