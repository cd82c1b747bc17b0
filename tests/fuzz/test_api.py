"""A running hub does what its OpenAPI document says, whatever is sent to its HTTP port and its admin port.

Schemathesis makes the requests from the document: good ones, and ones that break it. No response is a 500; each has a
status, a media type, headers and a body that the document gives. ``make fuzz-api`` sends more of them, and prints how
many got which status.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.e2e.support.rig import CLIENT_TOKEN, ROOT, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy
    from schemathesis import Case, CheckContext, Response

    from tests.e2e.support.processes import Process

    AnyCase = Case[Any]

EXAMPLES = int(os.environ.get("APPSET_HUB_API_EXAMPLES", "12"))
SEED = int(os.environ.get("APPSET_HUB_SEED", "1"))
TIMEOUT_S = 30.0
ATTEMPTS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
ADMIN_PORT = 4357  # In the document; those of the running hub are free ones.

DOCUMENT = schemathesis.openapi.from_path(ROOT / "hub" / "http" / "openapi.json")
OPERATIONS = {one.ok().label: one.ok() for one in DOCUMENT.get_all_operations() if isinstance(one, Ok)}
TEN = [{"name": f"app-{number}"} for number in range(10)]


def no_response_is_a_500(_: CheckContext, response: Response, __: AnyCase) -> None:
    assert response.status_code != 500, response.text


CHECKS = [
    no_response_is_a_500,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.ignored_auth,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


class Site:
    """A running hub: the backend ``images`` is attached, ``absent`` is not, and one answer of ``images`` is held."""

    def __init__(self, rig: Rig) -> None:
        names = ("images", "absent")
        rig.configure(
            backends=[rig.backend(name, application_sets=[f"{name}-*"]) for name in names],
            routes=[{"name": name, "backends": [name], "application_sets": [f"{name}-*"]} for name in names],
            admin={"tokens": [rig.token("admin")]},
            wait_for_absent="0s",
        )
        self._hub = rig.hub()
        backend = self._attach(rig, TEN)
        assert self._hub.ask("images-1").status == 200
        backend.stop()
        self._attach(rig, TEN[:1])
        self._hub.ask("images-1").refuses(409, "answer_held")
        [held] = self._hub.get("/api/held").json
        self._values = {"route": names, "name": names, "id": (held["id"],)}
        self._session = requests.Session()
        self.statuses: Counter[int] = Counter()

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def send(self, case: AnyCase) -> None:
        """Send a request with the token that its path needs, and check the response."""
        is_admin = urlsplit(case.operation.base_url or "").port == ADMIN_PORT
        port, token = (self._hub.admin, "admin-token") if is_admin else (self._hub.http, CLIENT_TOKEN)
        response = case.call_and_validate(
            f"http://127.0.0.1:{port}",
            self._session,
            {"Authorization": f"Bearer {token}"},
            checks=CHECKS,
            timeout=TIMEOUT_S,
        )
        self.statuses[response.status_code] += 1

    def cases(self, label: str, mode: GenerationMode) -> SearchStrategy[AnyCase]:
        """Requests for an operation, also with names that the hub knows: made-up ones alone reach nothing but a 404."""
        operation = OPERATIONS[label]
        found = [operation.as_strategy(mode)]
        for parameter in operation.path_parameters:
            known = self._values[parameter.name]
            found += [operation.as_strategy(mode, path_parameters={parameter.name: value}) for value in known]
        if "getparams" in label and mode is GenerationMode.POSITIVE:
            found += [one.map(_of_images) for one in found]
        return st.one_of(found)

    def _attach(self, rig: Rig, sets: list[dict[str, str]]) -> Process:
        marked = self._hub.mark()
        backend = rig.sdk("images", self._hub, "--application-sets", "images-*", "--sets", json.dumps(sets))
        self._hub.joined("images", after=marked)
        return backend


def _of_images(case: AnyCase) -> AnyCase:
    """The same request for an ApplicationSet that the backend ``images`` serves."""
    body: Any = case.body
    body["applicationSetName"] = "images-2"
    body.pop("applicationSetNamespace", None)
    return case


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    rig = Rig(tmp_path_factory.mktemp("rig"))
    made = Site(rig)
    yield made
    made.close()
    rig.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_response_is_one_that_the_document_gives(label: str, mode: GenerationMode, site: Site) -> None:
    operation = OPERATIONS[label]
    site.statuses.clear()
    for case in DOCUMENT.iter_coverage_cases(
        operation, generation_modes=[mode], generation_config=DOCUMENT.config.generation_for(operation=operation)
    ):
        site.send(case)
    if mode is GenerationMode.POSITIVE or operation.body or operation.query:

        @seed(SEED)
        # To break some schemas takes many attempts; what counts is that the requests are the same each time.
        @settings(max_examples=EXAMPLES, database=None, phases=[Phase.generate], suppress_health_check=ATTEMPTS)
        @given(site.cases(label, mode))
        def run(case: AnyCase) -> None:
            site.send(case)

        run()
    print(f"{label}, {mode.value}: {dict(sorted(site.statuses.items()))}")  # noqa: T201 - the campaign's figures.
