"""``unique_by`` in ``hub.yaml``: of backends and routes, and the hint where nobody says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.config.load import Source, check, load
from hub.config.mistakes import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

BASE = "clients: [{name: argocd, tokens: [{file: token}]}]\n"
IMAGES = "{name: images, tokens: [{file: images}], application_sets: ['fb-*']%s}"
ROUTE = "routes: [{name: previews, application_sets: ['fb-*'], backends: [images]%s}]\n"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    for name in ("token", "images"):
        (tmp_path / name).write_text(f"secret-of-{name}-that-is-long-enough\n")
    return Source(path=tmp_path / "hub.yaml")


def write(source: Source, text: str) -> None:
    assert source.path is not None
    source.path.write_text(text)


def test_a_backend_has_keys(source: Source) -> None:
    write(source, f"{BASE}backends: [{IMAGES % ', unique_by: [name, env]'}]\n")
    assert load(source, {}).backends[0].grant.unique_by == ("name", "env")


def test_a_duplicate_key_is_a_mistake(source: Source) -> None:
    write(source, f"{BASE}backends: [{IMAGES % ', unique_by: [name, name]'}]\n")
    with pytest.raises(ConfigurationError, match=r'backends\[0\].unique_by\[1\]: duplicate key "name"'):
        load(source, {})


@pytest.mark.parametrize(
    ("backend", "route", "more", "hinted"),
    [
        ("", None, "", True),
        (", unique_by: [name]", None, "", False),
        ("", "", "", True),
        ("", ", unique_by: [name]", "guard: {mode: 'off'}", False),
        ("", ", guard: {mode: 'off'}", "guard: {mode: 'off'}", False),
        ("", "", "guard: {mode: 'off'}", False),
    ],
    ids=["claims", "its keys", "a route", "the route's keys", "a route without a guard", "no guard"],
)
def test_check_hints_at_missing_keys_while_the_guard_is_on(
    source: Source, backend: str, route: str | None, more: str, *, hinted: bool
) -> None:
    write(source, f"{BASE}backends: [{IMAGES % backend}]\n{'' if route is None else ROUTE % route}{more}\n")
    report = check(source, {}, offline=True)
    assert (report.errors, report.warnings) == ([], [])
    assert [one.path for one in report.hints] == (["backends[0]"] if hinted else [])
    if hinted:
        assert 'no unique_by says which keys identify a set of backend "images"' in report.hints[0].reason
