"""The tree of refusals."""

from __future__ import annotations

import pytest

from hub.core import errors
from hub.core.errors import HubError, leaves

STATUSES = {
    errors.InvalidRequest: 400,
    errors.InputRefused: 400,
    errors.TokenMissing: 403,
    errors.TokenUnresolved: 403,
    errors.TokenWrong: 403,
    errors.NotAllowed: 403,
    errors.UnknownPath: 404,
    errors.UnknownRoute: 404,
    errors.UnknownBackend: 404,
    errors.NotHeld: 404,
    errors.NobodyServes: 404,
    errors.MethodNotAllowed: 405,
    errors.AnswerHeld: 409,
    errors.BodyTooLarge: 413,
    errors.EncodingRefused: 415,
    errors.ClientLimit: 429,
    errors.InternalError: 500,
    errors.BackendFailed: 502,
    errors.AnswerRefused: 502,
    errors.BackendAbsent: 503,
    errors.BackendBusy: 503,
    errors.BackendNotReady: 503,
    errors.StoreNeeded: 503,
    errors.StoreFailed: 503,
    errors.Shedding: 503,
    errors.Draining: 503,
    errors.DeadlinePassed: 504,
}


@pytest.mark.parametrize(("error", "status"), STATUSES.items(), ids=[error.__name__ for error in STATUSES])
def test_a_refusal_has_the_status_of_the_contract(error: type[HubError], status: int) -> None:
    assert error in leaves()
    assert error.status == status


def test_every_leaf_has_a_reason_of_its_own() -> None:
    reasons = [leaf.reason for leaf in leaves()]
    assert len(set(reasons)) == len(reasons) >= len(STATUSES)
    assert all(reason == reason.lower() and reason.replace("_", "").isalpha() for reason in reasons)


def test_no_refusal_is_a_success_or_a_redirect() -> None:
    assert all(400 <= leaf.status <= 599 for leaf in leaves())


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.__name__)
def test_what_may_pass_by_itself_says_when_to_ask_again(error: type[HubError]) -> None:
    assert (error.retry_after_s is not None) == (error.status in (429, 503))


def test_the_docstring_draws_the_whole_tree() -> None:
    drawn = errors.__doc__ or ""
    assert [leaf.__name__ for leaf in leaves() if leaf.__name__ not in drawn] == []


def test_the_text_of_a_refusal_is_what_it_was_given() -> None:
    assert str(errors.BackendAbsent('backend "a" is not connected')) == 'backend "a" is not connected'
