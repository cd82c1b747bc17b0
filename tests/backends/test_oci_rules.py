"""The rules of `oci`: versions, ranges, names, templates, challenges, times. No registry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from appset_hub import InvalidInput

from backends.oci.challenges import Challenge, parse_challenges
from backends.oci.choosing import highest, last, matching
from backends.oci.manifests import Unreadable, digest_of, is_platform, parse_manifest, parse_time
from backends.oci.names import Template, is_allowed, is_repository, is_tag
from backends.oci.recent import Recent
from backends.oci.versions import Range, Version

# The example of semver.org, item 11.
IN_ORDER = [
    "1.0.0-0",
    "1.0.0-1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
]


def version(text: str) -> Version:
    parsed = Version.parse(text)
    assert parsed is not None
    return parsed


def test_versions_have_the_order_of_the_specification() -> None:
    assert sorted(map(version, reversed(IN_ORDER))) == list(map(version, IN_ORDER))
    assert version("v1.2.3") == version("1.2.3")


@pytest.mark.parametrize(
    "text",
    ["1", "1.2", "01.2.3", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3_4", "latest", "1.2.3.4", "x1.2.3", "1.2.3\n"],
)
def test_what_is_no_version_is_none(text: str) -> None:
    assert Version.parse(text) is None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.2", "1.2.4", "1.2.3-rc.1"]),
        ("=1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9"]),
        ("1.x", ["1.0.0", "1.99.0"], ["2.0.0", "0.9.0"]),
        ("*", ["0.0.0", "9.9.9"], ["1.0.0-rc.1"]),
        (">=1.2", ["1.2.0", "3.0.0"], ["1.1.9", "2.0.0-rc.1"]),
        (">1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("<2", ["1.9.9"], ["2.0.0", "2.0.0-rc.1"]),
        (">=1.2 <2", ["1.2.0", "1.9.0"], ["2.0.0", "1.1.0"]),
        (">= 1.2, < 2", ["1.2.0", "1.9.0"], ["2.0.0", "1.1.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("~v1.2", ["1.2.0"], ["1.3.0"]),
        ("1.2 || >=3", ["1.2.5", "3.0.0"], ["2.0.0"]),
        (">=1.2.0-0", ["1.2.0-rc.1", "2.0.0-rc.1", "1.2.0"], ["1.1.0"]),
        ("^1.2.0-rc.2", ["1.2.0-rc.2", "1.2.0-rc.10", "1.2.0", "1.3.0-a"], ["1.2.0-rc.1", "2.0.0-a", "2.0.0"]),
        (">1.2.0-rc.1", ["1.2.0-rc.1.0", "1.2.0-rc.2", "1.2.0"], ["1.2.0-rc.1"]),
        ("=1.2.0-rc.1", ["1.2.0-rc.1"], ["1.2.0-rc.2", "1.2.0"]),
    ],
)
def test_a_range_holds_what_it_says(text: str, inside: list[str], outside: list[str]) -> None:
    versions = Range.parse(text)
    assert [one for one in inside if version(one) not in versions] == []
    assert [one for one in outside if version(one) in versions] == []


@pytest.mark.parametrize(
    "text", ["", " ", "latest", "1.2.3.4", ">=", "1 ||", "=>1", ">*", "<x", "1.2-rc", "!1", "1..2"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|names a pre-release"):
        Range.parse(text)


def test_the_highest_version_is_not_the_last_text() -> None:
    assert highest(["1.9.0", "1.10.0", "latest", "1.2.0"], Range.parse("1")) == "1.10.0"
    assert highest(["latest"], Range.parse("1")) is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["b-9", "b-10", "a-99"], "b-10"),
        (["20260102.2", "20260102.10", "20251231.99"], "20260102.10"),
        (["a", "a-1"], "a-1"),
        (["1", "01"], "1"),
        ([], None),
    ],
)
def test_the_last_tag_counts_numbers_as_numbers(tags: list[str], expected: str | None) -> None:
    assert last(tags) == expected
    assert last(tags[::-1]) == expected


def test_a_pattern_tells_upper_from_lower_case() -> None:
    assert matching(["main-1", "Main-2", "main", "xmain-3"], "main-*") == ["main-1"]


@pytest.mark.parametrize(
    ("repository", "allowed"),
    [
        ("team/a", True),
        ("team/a/b", False),
        ("team", False),
        ("other/a", False),
        ("exact/one", True),
        ("exact/ones", False),
    ],
)
def test_a_pattern_does_not_reach_over_a_slash(repository: str, *, allowed: bool) -> None:
    assert is_allowed(repository, ["team/*", "exact/one"]) is allowed


@pytest.mark.parametrize("text", ["a", "a/b-c/d.e", "a__b", "a--b"])
def test_a_repository_has_the_grammar_of_the_specification(text: str) -> None:
    assert is_repository(text)


@pytest.mark.parametrize("text", ["", "/a", "a/", "a//b", "A", "a/../b", ".", "a/.b", "a_-b", "a b", "a\n", "a" * 256])
def test_what_is_no_repository_is_told(text: str) -> None:
    assert not is_repository(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("a", True), ("_A.b-c", True), ("-a", False), (".a", False), ("a/b", False)]
)
def test_a_tag_has_the_grammar_of_the_specification(text: str, *, expected: bool) -> None:
    assert is_tag(text) is expected


@pytest.mark.parametrize("text", ["{", "a}", "{a", "{}", "{a b}", "{{a}}"])
def test_a_template_with_a_brace_too_many_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|name of an input"):
        Template.parse(text)


def test_a_template_takes_text_and_integers() -> None:
    template = Template.parse("{branch}-pr{number}.x")
    assert template.fill_tag({"branch": "A_b", "number": 12}) == "A_b-pr12.x"
    for value in (True, 1.5, "a b", "{x}", "a*", "[a]", ">1", ["a"], {"a": 1}, "a/b", "a\n"):
        with pytest.raises(InvalidInput, match=r"^\$\.branch: must be a part of a tag"):
            template.fill_tag({"branch": value, "number": 12})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            ['Bearer realm="https://a/t?x=1",service="r",scope="repository:a:pull,push"'],
            [Challenge("bearer", {"realm": "https://a/t?x=1", "service": "r", "scope": "repository:a:pull,push"})],
            id="the usual",
        ),
        pytest.param(
            ['Basic realm="a, b=\\"c\\"", Bearer realm=x , service="y"'],
            [Challenge("basic", {"realm": 'a, b="c"'}), Challenge("bearer", {"realm": "x", "service": "y"})],
            id="two in one",
        ),
        pytest.param(["Negotiate", "BASIC"], [Challenge("negotiate", {}), Challenge("basic", {})], id="bare"),
        pytest.param(["", '="x"'], [], id="nothing to read"),
    ],
)
def test_challenges_are_read_as_the_standard_writes_them(headers: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(headers) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_times_are_read(text: object, expected: datetime | None) -> None:
    assert parse_time(text) == expected


def test_a_platform_without_a_variant_takes_any() -> None:
    assert is_platform("linux/arm64", "linux/arm64")
    assert is_platform("linux/arm64/v8", "linux/arm64")
    assert not is_platform("linux/arm64", "linux/arm64/v8")
    assert not is_platform("linux/arm64", "linux/arm")


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"schemaVersion": 1},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "config": {}},
        {"schemaVersion": 2, "config": {"digest": "sha256:../../x"}},
        {"schemaVersion": 2, "manifests": ["a"]},
        {"schemaVersion": 2, "manifests": [{"digest": "md5:0"}]},
    ],
)
def test_what_is_no_manifest_is_refused(value: dict[str, Any] | None) -> None:
    with pytest.raises(Unreadable):
        parse_manifest(value)


def test_a_digest_is_made_by_the_algorithm_that_is_asked_for() -> None:
    assert digest_of(b"").startswith("sha256:e3b0c44298fc1c14")
    assert digest_of(b"", like="sha512:0").startswith("sha512:cf83e1357eefb8bd")


def test_what_was_used_longest_ago_is_forgotten() -> None:
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]
