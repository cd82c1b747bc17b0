"""The backend `static`, asked over real gRPC."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from appset_hub import Backend, InvalidInput, Severity
from appset_hub.testing import FakeHub, harness

from backends.documents import parse_document
from backends.mistakes import Mistake
from backends.static import KIND, StaticBackend
from backends.static.config import load
from backends.static.matching import is_same

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


def write(folder: Path, text: str, name: str = "static.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def backend(static: StaticBackend) -> Backend:
    return Backend(function=static.answer, name="static", application_sets=static.application_sets)


async def answers(path: Path, name: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    async with harness(backend(StaticBackend.open(path))) as hub:
        return await hub.ask(name, parameters)


async def test_the_quick_start_says_what_the_documentation_says() -> None:
    assert await answers(QUICKSTART / "hello.yaml", "fake-appset", {"param1": "value1"}) == [
        {"key1": "val1", "key2": "val2"},
        {"key1": "val2", "key2": "val2"},
    ]
    assert await answers(QUICKSTART / "digests.yaml", "fb-matrix", {"branch": "feature-branch-1"}) == [
        {
            "digestFront": "sha256:a3f18c17771cc1051b790b453a0217b585723b37f14b413ad7c5b12d4534d411",
            "digestBack": "sha256:4411417d614d5b1b479933b7420079671facd434fd42db196dc1f4cc55ba13ce",
        }
    ]
    assert await answers(QUICKSTART / "digests.yaml", "fb-matrix", {"branch": "feature-branch-2"}) == [
        {
            "digestFront": "sha256:7c20b927946805124f67a0cb8848a8fb1344d16b4d0425d63aaa3f2427c20497",
            "digestBack": "sha256:e55e7e40700bbab9e542aba56c593cb87d680cefdfba3dd2ab9cfcb27ec384c2",
        }
    ]


async def test_the_first_entry_that_matches_is_the_answer(tmp_path: Path) -> None:
    write(tmp_path, '[{"from": "file"}]', "more.json")
    path = write(
        tmp_path,
        """
        answers:
          - {application_sets: ["fb-*"], when: {branch: a}, parameters: [{n: 1}]}
          - {when: {branch: a}, parameters: [{n: 2}]}
          - {when: {branch: b, on: true}, file: more.json}
          - {when: {branch: none}, parameters: []}
        """,
    )
    assert await answers(path, "fb-1", {"branch": "a", "other": 1}) == [{"n": 1}]
    assert await answers(path, "other", {"branch": "a"}) == [{"n": 2}]
    assert await answers(path, "other", {"branch": "b", "on": True}) == [{"from": "file"}]
    assert await answers(path, "other", {"branch": "none"}) == []
    with pytest.raises(InvalidInput):
        await answers(path, "other", {"branch": "b", "on": 1})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (True, 1, False),
        (1, 1.0, True),
        ("1", 1, False),
        (None, False, False),
        ([1, {"a": True}], [1, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        ([], {}, False),
    ],
)
def test_inputs_are_compared_as_json_values(one: Any, other: Any, *, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same


async def test_nothing_that_matches_is_an_error_that_names_what_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, 'answers: [{application_sets: ["fb-*"], when: {branch: a}, parameters: [{n: 1}]}]')
    with pytest.raises(
        InvalidInput, match=r'^\$\.branch: there is no answer for this input, only for \{"branch": "a"\}'
    ):
        await answers(path, "fb-1", {"branch": "b"})
    with pytest.raises(InvalidInput, match=r'^there is no answer for the ApplicationSet "other"$'):
        await answers(path, "other")


async def test_nothing_that_matches_is_none_only_when_the_configuration_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "{otherwise: none, answers: [{when: {branch: a}, parameters: [{n: 1}]}]}")
    assert await answers(path, "fb-1", {"branch": "b"}) == []


async def test_an_answer_that_the_hub_holds_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path, "answers: [{parameters: [{n: 1}], fresh_for_s: 30}]")
    async with harness(backend(StaticBackend.open(path))) as hub:
        first = await hub.reply("fb-1")
        again = await hub.reply("fb-1", known_digest=first.digest)
    assert (first.fresh_for_s, again.not_modified) == (30, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("answers: []", "answers: ", id="no answers"),
        pytest.param("{}", "missing required field `answers`", id="nothing"),
        pytest.param("- a", "Expected `object`", id="a list"),
        pytest.param("{answers: [{parameters: [{a: 1}], wen: {}}]}", "answers[0]: ", id="an unknown key"),
        pytest.param("answers: [{when: {a: 1}}]", "answers[0]: needs either parameters or file", id="no answer"),
        pytest.param("answers: [{parameters: [], file: x}]", "answers[0]: needs either parameters or file", id="both"),
        pytest.param("answers: [{parameters: [{a: 1}, {}]}]", "answers[0].parameters[1] is empty", id="an empty set"),
        pytest.param("answers: [{file: nope.yaml}]", "nope.yaml: cannot be read: No such file", id="no such file"),
        pytest.param("answers: [{file: map.yaml}]", "map.yaml: the document is a value of type dict", id="no list"),
        pytest.param("{answers: [{parameters: [{a: 1}]}], otherwise: maybe}", "otherwise: ", id="otherwise what"),
    ],
)
def test_a_mistake_names_the_file_and_the_place(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "a: 1", "map.yaml")
    with pytest.raises(Mistake) as caught:
        StaticBackend.open(write(tmp_path, text))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


async def test_a_changed_file_is_read_again_and_a_bad_one_keeps_the_last_good_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = write(tmp_path, "[{n: 1}]", "sets.yaml")
    static = StaticBackend.open(write(tmp_path, "answers: [{file: sets.yaml}]"))
    async with harness(backend(static)) as hub:
        sets.write_text("[{n: 2}]")
        await static.refresh()
        assert await hub.ask("fb-1") == [{"n": 2}]

        sets.write_text("[{n: 3}, {}]")
        for _ in range(2):
            await static.refresh()
        kept = await hub.reply("fb-1")
        assert kept.parameters == [{"n": 2}]
        [notice] = kept.notices
        assert notice.severity is Severity.WARNING
        assert "sets.yaml: parameters[1] is empty" in notice.text
        assert caplog.text.count("the last good answers are given instead") == 1

        sets.write_text("[{n: 4}]")
        await static.refresh()
        mended = await hub.reply("fb-1")
        assert (mended.parameters, mended.notices) == ([{"n": 4}], ())

        sets.unlink()
        await static.refresh()
        assert (await hub.reply("fb-1")).parameters == [{"n": 4}]


async def test_a_changed_claim_is_said_to_need_a_restart(tmp_path: Path) -> None:
    path = write(tmp_path, '{application_sets: ["a-*"], answers: [{parameters: [{n: 1}]}]}')
    static = StaticBackend.open(path)
    async with harness(backend(static)) as hub:
        write(tmp_path, '{application_sets: ["b-*"], answers: [{parameters: [{n: 1}]}]}')
        await static.refresh()
        [notice] = (await hub.reply("a-1")).notices
    assert "needs a restart" in notice.text


async def test_the_files_are_followed_by_themselves(tmp_path: Path) -> None:
    path = write(tmp_path, "answers: [{parameters: [{n: 1}]}]")
    static = StaticBackend(path, load(path), poll_s=0.001)
    async with harness(backend(static)) as hub:
        watching = asyncio.create_task(static.watch())
        write(tmp_path, "answers: [{parameters: [{n: 2}]}]")
        await until(hub, [{"n": 2}])
        watching.cancel()
        await asyncio.wait([watching])


async def until(hub: FakeHub, sets: list[dict[str, Any]]) -> None:
    async with asyncio.timeout(5):
        while await hub.ask("fb-1") != sets:
            pass


@pytest.mark.parametrize("name", ["hello.yaml", "digests.yaml"])
def test_the_schema_takes_the_examples_and_refuses_mistakes(name: str) -> None:
    validator = jsonschema_rs.validator_for(json.dumps(KIND.schema()))
    document = parse_document((QUICKSTART / name).read_bytes(), QUICKSTART / name)
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "anwsers": []})
    assert not validator.is_valid({**document, "answers": []})
