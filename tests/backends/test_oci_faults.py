"""Registries that page, change and go wrong: `oci` gives the whole truth, or an error."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from appset_hub import BackendFault, DeadlinePassed

from tests.backends.oci_front import Front, paged, serving
from tests.backends.oci_rig import attached, configure, image, need_tools, running
from tests.backends.plugin_rig import RawPlugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TAG = "[{key: a, repository: team/a, tag: main}]"
GLOB = "[{key: a, tag_key: tag, repository: team/a, glob: '*'}]"
DIGEST = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_tools()


def linked(link: str) -> web.Response:
    return web.json_response({"tags": ["zz"]}, headers={"Link": link})


async def test_a_list_in_pages_is_read_to_its_end(tmp_path: Path) -> None:
    images = "[{key: a, tag_key: tag, repository: team/a, semver: '*'}]"
    async with running(tmp_path) as registry:
        pushed = image(tmp_path, "a")
        for tag in ("1.10.0", "1.2.0", "1.9.0", "latest", "zz"):
            digest = await registry.push(pushed, f"team/a:{tag}")
        front = Front(registry.url, paged(2))
        async with front.serving(), attached(configure(tmp_path, front.url, images)) as hub:
            assert await hub.ask("set") == [{"a": digest, "tag": "1.10.0"}]
            assert sum("/tags/list" in path for path in front.seen()) == 3


ASTRAY = 'gave a list of the tags of "team/a" that goes on where it must not'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda: web.Response(status=500), "answered with status 500", id="500"),
        pytest.param(lambda: web.Response(status=404), 'has no repository "team/a"', id="404"),
        pytest.param(lambda: web.Response(status=429), "answered with status 429", id="429"),
        pytest.param(lambda: web.Response(text="<html>"), "gave no list of the tags", id="HTML"),
        pytest.param(lambda: web.json_response({"name": "team/a"}), "gave no list of the tags", id="no tags"),
        pytest.param(lambda: web.json_response({"tags": ["a", 1]}), "gave no list of the tags", id="a number as tag"),
        pytest.param(lambda: web.json_response({"tags": ["../a"]}), "gave no list of the tags", id="no tag"),
        pytest.param(lambda: linked('</v2/team/a/tags/list?last=main&n=1>; rel="next"'), ASTRAY, id="to itself"),
        pytest.param(lambda: linked('<http://localhost:1/v2/team/a/tags/list>; rel="next"'), ASTRAY, id="elsewhere"),
        pytest.param(lambda: linked('</v2/team/b/tags/list>; rel="next"'), ASTRAY, id="to another repository"),
        pytest.param(lambda: linked("next please"), "answered with a Link that cannot be read", id="no link"),
    ],
)
async def test_a_page_that_is_not_there_is_an_error_and_not_the_end(
    change: Callable[[], web.Response], message: str, tmp_path: Path
) -> None:
    async def second_page(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
        if "last" in request.query:
            return change()
        return await paged(1)(request, response)

    async with running(tmp_path) as registry:
        for tag in ("main", "zz"):
            await registry.push(image(tmp_path, tag), f"team/a:{tag}")
        front = Front(registry.url, second_page)
        async with front.serving(), attached(configure(tmp_path, front.url, GLOB, more="missing: none\n")) as hub:
            with pytest.raises(BackendFault, match=message) as first:
                await hub.ask("set")
            with pytest.raises(BackendFault) as again:
                await hub.ask("set")
    assert str(first.value) == str(again.value)


async def test_a_404_that_the_list_of_tags_does_not_confirm_is_an_error(tmp_path: Path) -> None:
    async def lose(request: web.BaseRequest, response: web.Response) -> web.Response:
        return web.Response(status=404, text="<html>") if "/manifests/" in request.path else response

    async with running(tmp_path) as registry:
        await registry.push(image(tmp_path, "a"), "team/a:main")
        front = Front(registry.url, lose)
        async with front.serving(), attached(configure(tmp_path, front.url, TAG, more="missing: none\n")) as hub:
            with pytest.raises(BackendFault, match='lists the tag "main" of "team/a", but does not have its'):
                await hub.ask("set")


async def test_a_registry_whose_disk_is_empty_again_is_an_error(tmp_path: Path) -> None:
    async with running(tmp_path) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        async with attached(configure(tmp_path, registry.url, TAG, more="missing: none\n")) as hub:
            assert await hub.ask("set") == [{"a": digest}]
            shutil.rmtree(tmp_path / "images")
            with pytest.raises(BackendFault, match='has no repository "team/a"'):
                await hub.ask("set")


async def test_an_unchanged_list_is_not_sent_again(tmp_path: Path) -> None:
    bodies: list[int] = []

    async def tagged(request: web.BaseRequest, response: web.Response) -> web.Response:
        if not request.path.endswith("/tags/list"):
            return response
        assert isinstance(response.body, bytes)
        etag = f'"{hash(response.body)}"'
        unchanged = request.headers.get("If-None-Match") == etag
        bodies.append(0 if unchanged else len(response.body))
        headers = {"ETag": etag}
        return (
            web.Response(status=304, headers=headers)
            if unchanged
            else web.Response(body=response.body, headers=headers)
        )

    async with running(tmp_path) as registry:
        first = await registry.push(image(tmp_path, "1"), "team/a:a")
        front = Front(registry.url, tagged)
        async with front.serving(), attached(configure(tmp_path, front.url, GLOB)) as hub:
            assert [await hub.ask("set") for _ in range(2)] == [[{"a": first, "tag": "a"}]] * 2
            second = await registry.push(image(tmp_path, "2"), "team/a:b")
            assert await hub.ask("set") == [{"a": second, "tag": "b"}]
    assert [size > 0 for size in bodies] == [True, False, True]


async def test_a_registry_that_does_not_tell_digests_has_them_computed(tmp_path: Path) -> None:
    async def forget(_request: web.BaseRequest, response: web.Response) -> web.Response:
        response.headers.pop("Docker-Content-Digest", None)
        return response

    async with running(tmp_path) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        front = Front(registry.url, forget)
        async with front.serving(), attached(configure(tmp_path, front.url, TAG)) as hub:
            assert await hub.ask("set") == [{"a": digest}]


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        pytest.param(lambda: web.Response(text="<html>welcome</html>"), "something .* that is no manifest", id="HTML"),
        pytest.param(web.Response, "something .* that is no manifest", id="nothing"),
        pytest.param(lambda: web.json_response({"schemaVersion": 1}), "is no manifest", id="an old manifest"),
        pytest.param(lambda: web.Response(status=204), "answered with status 204", id="204"),
        pytest.param(lambda: web.Response(status=500), "answered with status 500", id="500"),
        pytest.param(lambda: web.Response(status=401), "does not say what it wants", id="401"),
    ],
)
async def test_what_is_no_registry_is_an_error(
    handle: Callable[[], web.Response], message: str, tmp_path: Path
) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return handle()

    async with serving(answer) as port:
        path = configure(tmp_path, f"http://localhost:{port}", TAG, more="missing: none\n")
        async with attached(path) as hub:
            with pytest.raises(BackendFault, match=message):
                await hub.ask("set")


async def test_content_that_does_not_have_its_digest_is_an_error(tmp_path: Path) -> None:
    images = "[{key: a, repository: team/a, newest: '*'}]"

    async def forge(request: web.BaseRequest, response: web.Response) -> web.Response:
        return web.json_response({"created": "2030-01-01T00:00:00Z"}) if "/blobs/" in request.path else response

    async with running(tmp_path) as registry:
        await registry.push(image(tmp_path, "a", created="2026-01-01T00:00:00Z"), "team/a:main")
        front = Front(registry.url, forge)
        async with front.serving(), attached(configure(tmp_path, front.url, images)) as hub:
            with pytest.raises(BackendFault, match="gave something else for"):
                await hub.ask("set")


async def test_a_failure_in_passing_is_tried_once_more(tmp_path: Path) -> None:
    statuses = iter([503, 200, 503, 503])

    async def sometimes(_request: web.BaseRequest, response: web.Response) -> web.Response:
        return response if next(statuses) == 200 else web.Response(status=503)

    async with running(tmp_path) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        front = Front(registry.url, sometimes)
        async with front.serving(), attached(configure(tmp_path, front.url, TAG)) as hub:
            assert await hub.ask("set") == [{"a": digest}]
            with pytest.raises(BackendFault, match="answered with status 503"):
                await hub.ask("set")
    assert len(front.requests) == 4


async def test_a_registry_that_hangs_is_an_error_after_its_timeout(tmp_path: Path) -> None:
    silent = RawPlugin(None)
    async with silent.serving():
        path = configure(tmp_path, f"http://localhost:{silent.port}", TAG, registry="    timeout_s: 0.05\n")
        async with attached(path) as hub:
            with pytest.raises(DeadlinePassed, match=r'^registry "main" did not answer within 0\.05 s, its timeout_s$'):
                await hub.ask("set")


async def test_a_list_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"name":"team/a","tags":["main"]}')
        writer.close()

    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with attached(configure(tmp_path, f"http://127.0.0.1:{port}", GLOB, more="missing: none\n")) as hub:
        with pytest.raises(BackendFault, match="cut its answer short"):
            await hub.ask("set")
    server.close()


async def test_a_registry_has_no_more_requests_at_once_than_it_may(tmp_path: Path) -> None:
    full = asyncio.Event()

    async def slow(_request: web.BaseRequest, _response: web.Response) -> web.Response:
        if front.now == 3:
            full.set()
        await full.wait()
        return web.Response(headers={"Docker-Content-Digest": DIGEST})

    async with running(tmp_path) as registry:
        front = Front(registry.url, slow)
        async with front.serving():
            path = configure(tmp_path, front.url, TAG, registry="    max_in_flight: 3\n")
            async with attached(path) as hub:
                answers = await asyncio.gather(*(hub.ask("set") for _ in range(30)))
    assert answers == [[{"a": DIGEST}]] * 30
    assert front.most == 3
