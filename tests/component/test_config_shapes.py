"""What the checks of a configuration promise in general: they agree with the decoder, never fail, and stay quick."""

from __future__ import annotations

import itertools
import json
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.config.document import BAD, MAX_DEPTH, BadDocument, parse
from hub.config.examine import Examination
from hub.config.file import File
from hub.config.globs import Comparisons
from hub.config.load import Source, check
from hub.config.places import Findings, Places
from hub.config.reach import report_shadowed, report_unusable
from hub.config.read import examined

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["".join(letters) for length in range(5) for letters in itertools.product("ab", repeat=length)]
GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]"]), max_size=5).map("".join)

WORDS = ("25s", "50%", "fb-*", "images", "enforce", "manual", "first", "", "Nö", "off", "1m30s", "\n")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 10**17) | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=2),
    max_leaves=6,
)


def covers(wide: str, narrow: str) -> bool:
    return Comparisons(10_000).covers(wide, narrow)


def overlap(one: str, other: str) -> bool:
    return Comparisons(10_000).overlap(one, other)


def keys(struct: type[msgspec.Struct]) -> list[str]:
    return list(struct.__struct_fields__)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Mappings that look like a configuration, with anything in them."""
    good = {
        "clients": [{"name": "argocd", "tokens": [{"file": "t"}]}],
        "routes": [{"name": "r", "backends": ["images"], "combine": {"merge": {"on": ["a"]}}, "deadline": "5s"}],
        "guard": {"release": {"after": "30m"}, "mode": "off"},
        "tls": {"http": {"certificate": "c", "key": "k"}},
        "limits": {"max_sets": 5},
    }
    paths = [path for path in _paths(good) if path]

    def changed(choice: tuple[tuple[Any, ...], Any]) -> dict[str, Any]:
        path, value = choice
        document: Any = json.loads(json.dumps(good))
        inner = document
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
        return dict(document)

    return st.tuples(st.sampled_from(paths), VALUES).map(changed)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, inner in items for path in _paths(inner, (*at, key)))]


@given(documents() | st.dictionaries(st.sampled_from(keys(File)), VALUES, max_size=4))
@example({"limits": {"max_sets": 5.0}})
@example({"limits": {"max_sets": True}})
@example({"deadline": "25s\n"})
@example({"clients": [{"name": "a", "tokens": [{"file": "t"}], "application_sets": ["x" * 254]}]})
@example({"clients": [{"name": "a", "tokens": [{"file": "t"}], "routes": [""]}]})
@settings(max_examples=400, deadline=None)
def test_the_shape_is_refused_exactly_when_the_decoder_refuses_it(data: dict[str, Any]) -> None:
    findings = Findings(Places("", None, {}))
    found = Examination(findings, {}).struct(data, File)
    assert isinstance(found, File)
    try:
        decoded = msgspec.convert(data, File)
    except msgspec.ValidationError:
        assert findings.errors
    else:
        assert findings.errors == []
        assert found == decoded


@given(GLOBS, GLOBS)
@example("[a]b*", "[a]b*")
@settings(max_examples=500, deadline=None)
def test_a_pattern_that_covers_another_matches_all_of_its_names(wide: str, narrow: str) -> None:
    if covers(wide, narrow):
        assert [name for name in NAMES if fnmatchcase(name, narrow) and not fnmatchcase(name, wide)] == []


@given(GLOBS, GLOBS)
@settings(max_examples=500, deadline=None)
def test_patterns_that_do_not_overlap_have_no_name_together(one: str, other: str) -> None:
    if not overlap(one, other):
        assert [name for name in NAMES if fnmatchcase(name, one) and fnmatchcase(name, other)] == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("*", "a"),
        ("fb-*", "fb-1"),
        ("fb-*", "fb-x-*"),
        ("*-a", "fb-*-a"),
        ("f?-*", "fb-*"),
        ("[fg]b*", "fb-1"),
        ("?", "a"),
    ],
)
def test_a_wider_pattern_is_recognised(wide: str, narrow: str) -> None:
    assert covers(wide, narrow)
    assert not covers(narrow, wide)


@pytest.mark.parametrize(
    ("one", "other"), [("fb-*", "pr-*"), ("*-a", "*-b"), ("a?", "a"), ("[ab]*", "c*"), ("a*c", "b*c")]
)
def test_patterns_without_a_common_name_are_recognised(one: str, other: str) -> None:
    assert not overlap(one, other)
    assert not overlap(other, one)


@given(st.text(max_size=60) | st.text(alphabet="ab: -\n[]{},&*<>'\"!|\t#%@1", max_size=60))
@settings(max_examples=1000, deadline=None)
def test_any_text_is_a_document_or_one_message(text: str) -> None:
    try:
        root, bad = parse(text)
    except BadDocument as error:
        root, bad = None, [error]
    assert all(str(one).isprintable() or "\n" not in str(one) for one in bad)
    assert root is None or root.plain() is not BAD or bad


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_limited_whatever_opens(opening: str) -> None:
    with pytest.raises(BadDocument, match=f"nested deeper than {MAX_DEPTH} levels"):
        parse(opening * 20_000)


def routes(patterns: list[str], *, inputs: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "clients": [{"name": f"c{n}", "tokens": [{"file": f"t{n}"}], **more} for n in range(50)],
        "backends": [{"name": "images", "tokens": [{"file": "images"}], "application_sets": ["x"]}],
        "routes": [
            {
                "name": f"r{n}",
                "application_sets": [pattern],
                "backends": ["images"],
                "parameters": {"n": f"{n}*"} if inputs else {},
            }
            for n, pattern in enumerate(patterns)
        ],
    }


@pytest.mark.parametrize(
    "patterns",
    [
        pytest.param([f"team-{n}-*" for n in range(10_000)], id="prefixes"),
        pytest.param([f"*-team-{n}" for n in range(10_000)], id="suffixes"),
        pytest.param(["*"] * 10_000, id="one pattern, many inputs"),
        pytest.param([f"[ab]*-{n}-?*" for n in range(10_000)], id="sets"),
    ],
)
@pytest.mark.parametrize("allowed", ["*", "team-[x]*"])
def test_ten_thousand_routes_are_checked_in_seconds(tmp_path: Path, patterns: list[str], allowed: str) -> None:
    path = tmp_path / "hub.yaml"
    path.write_text(json.dumps(routes(patterns, application_sets=[allowed]), indent=1))
    began_s = time.process_time()
    report = check(Source(path=path), {}, offline=True)
    took_s = time.process_time() - began_s
    assert report.errors == []
    assert report.settings is not None
    assert len(report.settings.routes) == 10_000
    # Without an index it would be fifty million comparisons: minutes.
    assert took_s < 15


STARRY = "*a" * 60

ENDLESS = {
    "suffixes": ([f"*-team-{n:05}-service" for n in range(1000)], ["*"]),
    "neither prefix nor suffix": ([f"?eam-{n:05}-*" for n in range(1000)], ["*"]),
    "many stars": ([f"{STARRY}*b{n}*" for n in range(60)], ["*"]),
    "many stars in what clients may request": (
        [f"{STARRY}*b{n}*" for n in range(60)],
        [f"{STARRY}*c*", f"{STARRY}*d*"],
    ),
    "sets": ([f"?[{chr(0x4E00 + n)}a]x*-{n}-?*" for n in range(1000)], ["?[bc]*"]),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_looking_for_routes_that_nothing_reaches_takes_little_time(tmp_path: Path, case: str) -> None:
    patterns, allowed = ENDLESS[case]
    path = tmp_path / "hub.yaml"
    more = {"application_sets": allowed, "routes": ["*", f"{STARRY}*x*", "?[de]*"]}
    path.write_text(json.dumps(routes(patterns, inputs=False, **more)))
    written = examined(path, {}, {})
    began_s = time.process_time()
    report_shadowed(written.file, written.findings)
    report_unusable(written.file, written.findings)
    # Without a limit it takes seconds; the limit is a tenth of one, and the rest is for slow machines.
    assert time.process_time() - began_s < 1
    assert written.findings.errors == []


def test_a_route_behind_another_is_found_among_a_thousand(tmp_path: Path) -> None:
    path = tmp_path / "hub.yaml"
    patterns = [*(f"*-team-{n:05}-service" for n in range(1000)), "x-*-team-00500-service"]
    path.write_text(json.dumps(routes(patterns, inputs=False)))
    written = examined(path, {}, {})
    report_shadowed(written.file, written.findings)
    [warning] = written.findings.warnings
    assert '"r1000"' in warning.reason
    assert '"r500"' in warning.reason


def test_comparisons_that_are_spent_say_what_reports_nothing() -> None:
    spent = Comparisons(0)
    assert (spent.covers("fb-*", "fb-x-*"), spent.overlap("fb-*", "pr-*")) == (False, True)
