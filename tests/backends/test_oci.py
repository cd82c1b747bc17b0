"""The backend `oci`, on a real registry with images that were really pushed."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from appset_hub import BackendFault, InvalidInput
from appset_hub.testing import FakeHub

from tests.backends.oci_rig import Layout, attached, configure, image, need_tools, running
from tests.backends.plugin_rig import command

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = """
  - {key: digestFront, repository: team/front, tag: "{branch}"}
  - {key: digestBack, repository: team/back, tag: "{branch}"}"""


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_tools()


async def test_the_matrix_of_the_documentation_gives_each_branch_its_digests(tmp_path: Path) -> None:
    async with running(tmp_path) as registry:
        digests = {
            (repository, branch): await registry.push(
                image(tmp_path, f"{repository}-{branch}"), f"team/{repository}:{branch}"
            )
            for repository in ("front", "back")
            for branch in ("feature-branch-1", "feature-branch-2")
        }
        assert len(set(digests.values())) == 4
        async with attached(configure(tmp_path, registry.url, MATRIX)) as hub:
            for branch in ("feature-branch-1", "feature-branch-2"):
                assert await hub.ask("fb-matrix", {"branch": branch}) == [
                    {"digestFront": digests["front", branch], "digestBack": digests["back", branch]}
                ]


async def test_a_newly_pushed_image_shows_at_the_next_call(tmp_path: Path) -> None:
    images = '[{key: tagged, repository: team/a, tag: main}, {key: last, tag_key: tag, repository: team/a, glob: "*"}]'
    async with running(tmp_path) as registry, attached(configure(tmp_path, registry.url, images)) as hub:
        first = await registry.push(image(tmp_path, "1"), "team/a:main")
        assert await hub.ask("set") == [{"tagged": first, "last": first, "tag": "main"}]
        second = await registry.push(image(tmp_path, "2"), "team/a:main")
        assert await hub.ask("set") == [{"tagged": second, "last": second, "tag": "main"}]
        third = await registry.push(image(tmp_path, "3"), "team/a:zz")
        assert await hub.ask("set") == [{"tagged": second, "last": third, "tag": "zz"}]


@pytest.mark.parametrize("choice", ["tag: '{branch}'", "glob: '{branch}*'", "semver: '1.x'", "newest: '{branch}'"])
async def test_a_registry_that_was_killed_is_an_error_and_never_an_empty_answer(choice: str, tmp_path: Path) -> None:
    images = f"[{{key: a, repository: team/a, {choice}}}]"
    async with running(tmp_path) as registry:
        pushed = image(tmp_path, "a", created="2026-01-02T03:04:05Z")
        for tag in ("b", "1.0.0"):
            digest = await registry.push(pushed, f"team/a:{tag}")
        async with attached(configure(tmp_path, registry.url, images, more="missing: none\n")) as hub:
            assert await hub.ask("set", {"branch": "b"}) == [{"a": digest}]
            await registry.kill()
            with pytest.raises(BackendFault, match=r'^registry "main" cannot be reached; is it running'):
                await hub.ask("set", {"branch": "b"})


async def test_a_missing_tag_is_an_error_unless_the_configuration_says_that_it_means_none(tmp_path: Path) -> None:
    async with running(tmp_path) as registry:
        await registry.push(image(tmp_path, "f"), "team/front:there")
        await registry.push(image(tmp_path, "b"), "team/back:other")
        async with attached(configure(tmp_path, registry.url, MATRIX)) as hub:
            with pytest.raises(InvalidInput, match=r'^registry "main" has no tag of "team/back" for tag "there"$'):
                await hub.ask("set", {"branch": "there"})
        async with attached(configure(tmp_path, registry.url, MATRIX, more="missing: none\n")) as hub:
            # One digest of two would be a thinned set.
            assert await hub.ask("set", {"branch": "there"}) == []


async def test_a_repository_that_is_gone_is_an_error_even_where_a_missing_tag_is_none(tmp_path: Path) -> None:
    images = "[{key: a, repository: team/a, tag: '{branch}'}]"
    async with running(tmp_path) as registry:
        await registry.push(image(tmp_path, "a"), "team/other:main")
        async with attached(configure(tmp_path, registry.url, images, more="missing: none\n")) as hub:
            with pytest.raises(BackendFault, match='has no repository "team/a", or hides it'):
                await hub.ask("set", {"branch": "main"})


async def test_a_repository_without_tags_misses_every_tag(tmp_path: Path) -> None:
    images = "[{key: a, repository: team/a, glob: '*'}]"
    async with running(tmp_path) as registry:
        await registry.push(image(tmp_path, "a"), "team/a:main")
        shutil.rmtree(tmp_path / "images/docker/registry/v2/repositories/team/a/_manifests/tags/main")
        async with attached(configure(tmp_path, registry.url, images, more="missing: none\n")) as hub:
            assert await hub.ask("set") == []


async def test_the_last_tag_of_a_glob_counts_numbers_as_numbers(tmp_path: Path) -> None:
    images = "[{key: a, tag_key: tag, repository: team/a, glob: '{branch}-*'}]"
    async with running(tmp_path) as registry:
        digests = {
            tag: await registry.push(image(tmp_path, tag), f"team/a:{tag}") for tag in ("x-9", "x-10", "y-11", "x")
        }
        async with attached(configure(tmp_path, registry.url, images)) as hub:
            assert await hub.ask("set", {"branch": "x"}) == [{"a": digests["x-10"], "tag": "x-10"}]


async def test_the_highest_version_in_a_range_is_found(tmp_path: Path) -> None:
    images = "[{key: a, tag_key: tag, repository: team/a, semver: '~{line}'}]"
    async with running(tmp_path) as registry:
        pushed = image(tmp_path, "a")
        for tag in ("1.9.0", "v1.10.2", "1.10.10", "1.11.0-rc.1", "2.0.0", "latest"):
            digest = await registry.push(pushed, f"team/a:{tag}")
        async with attached(configure(tmp_path, registry.url, images)) as hub:
            assert await hub.ask("set", {"line": "1"}) == [{"a": digest, "tag": "1.10.10"}]
            assert await hub.ask("set", {"line": "1.9"}) == [{"a": digest, "tag": "1.9.0"}]
            with pytest.raises(InvalidInput, match='"~one" would be the range'):
                await hub.ask("set", {"line": "one"})


async def test_the_newest_image_is_the_one_that_was_made_last(tmp_path: Path) -> None:
    images = "[{key: a, tag_key: tag, repository: team/a, newest: 'x-*'}]"
    made = {"x-1": "2026-03-01T00:00:00.123456789Z", "x-2": "2026-01-01T00:00:00Z", "y": "2026-04-01T00:00:00Z"}
    async with running(tmp_path) as registry:
        digests = {
            tag: await registry.push(image(tmp_path, tag, created=at), f"team/a:{tag}") for tag, at in made.items()
        }
        async with attached(configure(tmp_path, registry.url, images)) as hub:
            assert await hub.ask("set") == [{"a": digests["x-1"], "tag": "x-1"}]
            again = await registry.push(image(tmp_path, "x-0", created="2026-03-02T01:00:00+02:00"), "team/a:x-0")
            assert await hub.ask("set") == [{"a": again, "tag": "x-0"}]
            await registry.push(image(tmp_path, "x-3", created="2026-03-01T23:00:00Z"), "team/a:x-3")
            with pytest.raises(BackendFault, match='has "x-3" and "x-0" of "team/a" made at the same time; use glob'):
                await hub.ask("set")
            await registry.push(image(tmp_path, "x-4"), "team/a:x-4")
            with pytest.raises(BackendFault, match='does not say when "team/a:x-4" was made'):
                await hub.ask("set")
        limited = images.replace("newest", "most_candidates: 2, newest")
        async with attached(configure(tmp_path, registry.url, limited)) as hub:
            with pytest.raises(BackendFault, match='has more than 2 tags of "team/a" for newest'):
                await hub.ask("set")


async def test_an_index_has_its_own_digest_and_one_for_each_platform(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    amd, arm = (layout.image("a", architecture=name, created="2026-01-01T00:00:00Z") for name in ("amd64", "arm64"))
    images = """
  - {key: index, repository: team/a, tag: main}
  - {key: arm, repository: team/a, newest: "*", platform: linux/arm64}
  - {key: one, repository: team/one, tag: main, platform: linux/amd64}"""
    async with running(tmp_path) as registry:
        index = await registry.push(layout.name(layout.index([amd, arm])), "team/a:main")
        await registry.push(layout.name(amd), "team/one:main")
        async with attached(configure(tmp_path, registry.url, images)) as hub:
            assert await hub.ask("set") == [{"index": index, "arm": arm["digest"], "one": amd["digest"]}]
        for repository in ("team/a", "team/one"):
            none = f"[{{key: a, repository: {repository}, tag: main, platform: linux/s390x}}]"
            async with attached(configure(tmp_path, registry.url, none)) as hub:
                with pytest.raises(BackendFault, match=f'has no image for "linux/s390x" in "{repository}@sha256:'):
                    await hub.ask("set")


async def test_inputs_are_echoed_for_a_merge(tmp_path: Path) -> None:
    images = "[{key: digest, repository: 'team/{service}', tag: 'pr-{number}'}]"
    async with running(tmp_path) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:pr-7")
        async with attached(configure(tmp_path, registry.url, images, more="echo: [service, number]\n")) as hub:
            asked = {"service": "a", "number": 7}
            assert await hub.ask("set", asked) == [{**asked, "digest": digest}]
            with pytest.raises(InvalidInput, match=r"^\$\.number: is required$"):
                await hub.ask("set", {"service": "a"})


async def test_questions_side_by_side_are_all_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as registry:
        for name in ("front", "back"):
            await registry.push(image(tmp_path, name), f"team/{name}:main")
        path = configure(tmp_path, registry.url, MATRIX, registry="    max_in_flight: 2\n")
        async with attached(path) as hub:
            answers = await asyncio.gather(*(hub.ask("set", {"branch": "main"}) for _ in range(50)))
    assert all(answer == answers[0] and len(answer) == 1 for answer in answers)


async def test_the_command_attaches_answers_and_leaves_well(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(tmp_path) as registry, hub.serving():
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        path = configure(
            tmp_path, registry.url, "[{key: a, repository: team/a, tag: main}]", more="application_sets: [x]\n"
        )
        async with command("oci", "--config", path, "--hub", hub.address) as process:
            [stream] = await hub.attached()
            assert (stream.hello.name, list(stream.hello.application_sets)) == ("oci", ["x"])
            assert await hub.ask("x") == [{"a": digest}]
            process.send_signal(signal.SIGTERM)
            _, said = await process.communicate()
            assert process.returncode == 0
    assert b"Unclosed" not in said
