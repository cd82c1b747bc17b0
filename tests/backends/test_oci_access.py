"""How `oci` proves who it is to a real registry, and where it never goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web
from appset_hub import BackendFault, InvalidInput, QuestionFailed

from tests.backends.oci_front import BASIC, PASSWORD, USER, Front, TokenServer, serving
from tests.backends.oci_rig import attached, configure, image, need_tools, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

IMAGES = "[{key: a, repository: 'team/a', tag: '{branch}'}]"
MAIN = {"branch": "main"}


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_tools()


@pytest.fixture
def user(tmp_path: Path) -> str:
    """Return the lines that name the user's files."""
    (tmp_path / "user").write_text(f"{USER}\n")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return "    username_file: user\n    password_file: password\n"


def token_server(tokens: TokenServer) -> str:
    return f'    token_servers: ["{tokens.realm.removesuffix("/token")}"]\n'


async def test_a_token_is_asked_for_once_and_for_nothing_but_pulling(tmp_path: Path, user: str) -> None:
    tokens = TokenServer(tmp_path)
    async with tokens.serving(), running(tmp_path, auth=tokens.auth()) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main", user=f"{USER}:{PASSWORD}")
        tokens.requests.clear()
        async with attached(configure(tmp_path, registry.url, IMAGES, registry=user + token_server(tokens))) as hub:
            answers = await asyncio.gather(*(hub.ask("set", MAIN) for _ in range(20)))
            assert answers == [[{"a": digest}]] * 20
    [asked] = tokens.requests
    assert dict(asked.query) == {"scope": "repository:team/a:pull", "service": tokens.service}
    assert asked.headers["Authorization"] == BASIC


async def test_a_token_whose_time_is_over_is_replaced(tmp_path: Path, user: str) -> None:
    tokens = TokenServer(tmp_path, life_s=1)
    async with tokens.serving(), running(tmp_path, auth=tokens.auth()) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main", user=f"{USER}:{PASSWORD}")
        tokens.requests.clear()
        async with attached(configure(tmp_path, registry.url, IMAGES, registry=user + token_server(tokens))) as hub:
            assert [await hub.ask("set", MAIN) for _ in range(2)] == [[{"a": digest}]] * 2
    assert len(tokens.requests) == 2


async def test_wrong_credentials_are_an_error_and_new_ones_need_no_restart(tmp_path: Path, user: str) -> None:
    tokens = TokenServer(tmp_path)
    async with tokens.serving(), running(tmp_path, auth=tokens.auth()) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main", user=f"{USER}:{PASSWORD}")
        path = configure(tmp_path, registry.url, IMAGES, registry=user + token_server(tokens), more="missing: none\n")
        (tmp_path / "password").write_text("wrong")
        async with attached(path) as hub:
            with pytest.raises(BackendFault, match='gives no token for "team/a" to these credentials') as caught:
                await hub.ask("set", MAIN)
            assert "wrong" not in str(caught.value)
            (tmp_path / "password").write_text(PASSWORD)
            assert await hub.ask("set", MAIN) == [{"a": digest}]
            (tmp_path / "password").unlink()
            assert await hub.ask("set", MAIN) == [{"a": digest}]


async def test_a_token_server_that_the_configuration_does_not_name_sees_nothing(tmp_path: Path, user: str) -> None:
    tokens = TokenServer(tmp_path)
    async with tokens.serving(), running(tmp_path, auth=tokens.auth()) as registry:
        path = configure(tmp_path, registry.url, IMAGES, registry=user)
        async with attached(path) as hub:
            with pytest.raises(BackendFault, match=r'names "http://localhost:\d+" for tokens; add it to token_servers'):
                await hub.ask("set", MAIN)
    assert tokens.requests == []


async def test_a_registry_that_wants_basic_credentials_gets_them(tmp_path: Path, user: str) -> None:
    async def demand(request: web.BaseRequest, response: web.Response) -> web.Response:
        if request.headers.get("Authorization") == BASIC:
            return response
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="a, b"'})

    async with running(tmp_path) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        front = Front(registry.url, demand)
        async with front.serving():
            async with attached(configure(tmp_path, front.url, IMAGES, registry=user)) as hub:
                assert await hub.ask("set", MAIN) == [{"a": digest}]
            async with attached(configure(tmp_path, front.url, IMAGES, more="missing: none\n")) as hub:
                with pytest.raises(BackendFault, match="wants a user; set username_file and password_file"):
                    await hub.ask("set", MAIN)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_is_an_error(status: int, tmp_path: Path) -> None:
    async def refuse(_request: web.BaseRequest, _response: web.Response) -> web.Response:
        return web.Response(status=status)

    async with running(tmp_path) as registry:
        front = Front(registry.url, refuse)
        async with front.serving(), attached(configure(tmp_path, front.url, IMAGES, more="missing: none\n")) as hub:
            with pytest.raises(BackendFault, match="refuses"):
                await hub.ask("set", MAIN)


async def test_tls_believes_the_given_authority_and_no_other(tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    for authority, name in ((ours, "ours.pem"), (other, "other.pem")):
        authority.cert_pem.write_to_path(tmp_path / name)
    leaf = ours.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    async with running(tmp_path, tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as registry:
        digest = await registry.push(image(tmp_path, "a"), "team/a:main")
        assert registry.url.startswith("https://")
        async with attached(configure(tmp_path, registry.url, IMAGES, registry="    ca_file: ours.pem\n")) as hub:
            assert await hub.ask("set", MAIN) == [{"a": digest}]
        async with attached(configure(tmp_path, registry.url, IMAGES, registry="    ca_file: other.pem\n")) as hub:
            with pytest.raises(BackendFault, match="has a certificate that is not to be believed; check ca_file"):
                await hub.ask("set", MAIN)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"service": "../secret"}, id="a step up"),
        pytest.param({"service": "a/../../secret"}, id="a step up inside"),
        pytest.param({"service": "a/b"}, id="another level"),
        pytest.param({"service": ".."}, id="dots"),
        pytest.param({"service": "%2e%2e"}, id="encoded dots"),
        pytest.param({"service": "A"}, id="upper case"),
        pytest.param({"service": "a@sha256:0"}, id="a digest"),
        pytest.param({"service": "a?x=y"}, id="a query"),
        pytest.param({"service": "a#"}, id="a fragment"),
        pytest.param({"service": "a\n"}, id="a line end"),
        pytest.param({"service": ""}, id="nothing"),
        pytest.param({"service": "secret-x"}, id="not among the patterns"),
        pytest.param({"service": ["a"]}, id="a list"),
        pytest.param({"service": True}, id="a boolean"),
        pytest.param({"service": "a" * 300}, id="too long"),
        pytest.param({"service": "a", "tag": "../../x/manifests/y"}, id="a tag with steps"),
        pytest.param({"service": "a", "tag": "sha256:" + "0" * 64}, id="a digest as tag"),
        pytest.param({"service": "a", "tag": "-x"}, id="a tag with a dash in front"),
        pytest.param({"service": "a", "tag": "x" * 129}, id="a long tag"),
        pytest.param({"service": "a", "tag": "x*"}, id="a pattern"),
        pytest.param({"service": "a", "tag": "é"}, id="a letter of another alphabet"),
    ],
)
async def test_no_input_reaches_what_the_configuration_does_not_name(asked: dict[str, object], tmp_path: Path) -> None:
    reached: list[str] = []

    async def note(request: web.BaseRequest) -> web.Response:
        reached.append(request.path_qs)
        return web.Response(status=404)

    async with serving(note) as port:
        path = configure(tmp_path, f"http://localhost:{port}", "[{key: a, repository: 'team/{service}', tag: '{tag}'}]")
        path.write_text(path.read_text().replace('"team/*"', '"team/a*"'))
        async with attached(path) as hub:
            with pytest.raises(QuestionFailed):
                await hub.ask("set", {"tag": "main", **asked})
    assert reached == []


async def test_an_input_that_is_no_part_of_a_tag_is_named(tmp_path: Path) -> None:
    async with attached(configure(tmp_path, "http://localhost:1", IMAGES)) as hub:
        with pytest.raises(InvalidInput, match=r"^\$\.branch: must be a part of a tag: letters, digits"):
            await hub.ask("set", {"branch": "feature/x"})
        with pytest.raises(InvalidInput, match=r"^\$\.branch: is required"):
            await hub.ask("set")


async def test_a_blob_elsewhere_is_read_without_credentials_where_the_configuration_allows(
    tmp_path: Path, user: str
) -> None:
    images = "[{key: a, repository: team/a, newest: '*'}]"
    tokens = TokenServer(tmp_path)
    async with tokens.serving(), running(tmp_path, auth=tokens.auth()) as registry:
        pushed = image(tmp_path, "a", created="2026-01-01T00:00:00Z")
        digest = await registry.push(pushed, "team/a:main", user=f"{USER}:{PASSWORD}")
        stored: list[web.BaseRequest] = []

        async def storage(request: web.BaseRequest) -> web.StreamResponse:
            stored.append(request)
            return web.FileResponse(pushed / "blobs" / "sha256" / request.path.rpartition(":")[2])

        async with serving(storage) as port:
            elsewhere = f"http://127.0.0.1:{port}"
            front = Front(registry.url, send_blobs_to(elsewhere))
            async with front.serving():
                lines = user + token_server(tokens)
                async with attached(configure(tmp_path, front.url, images, registry=lines)) as hub:
                    with pytest.raises(BackendFault, match=f'sends to "{elsewhere}" for a blob; add it to blob_serve'):
                        await hub.ask("set")
                assert stored == []
                lines += f'    blob_servers: ["{elsewhere}"]\n'
                async with attached(configure(tmp_path, front.url, images, registry=lines)) as hub:
                    assert await hub.ask("set") == [{"a": digest}]
    [seen] = stored
    assert "Authorization" not in seen.headers
    assert seen.raw_path.endswith("?X-Signature=a%2Fb")


def send_blobs_to(url: str) -> Callable[[web.BaseRequest, web.Response], Awaitable[web.Response]]:
    async def change(request: web.BaseRequest, response: web.Response) -> web.Response:
        if "/blobs/" in request.path and response.status == 200:
            return web.Response(status=307, headers={"Location": f"{url}{request.path}?X-Signature=a%2Fb"})
        return response

    return change


async def test_a_redirect_of_anything_else_is_an_error_and_not_followed(tmp_path: Path) -> None:
    reached: list[str] = []

    async def note(request: web.BaseRequest) -> web.Response:
        reached.append(request.path_qs)
        return web.Response(headers={"Docker-Content-Digest": "sha256:" + "0" * 64})

    async with serving(note) as port:

        async def redirect(_request: web.BaseRequest) -> web.Response:
            return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{port}/"})

        async with serving(redirect) as front:
            path = configure(tmp_path, f"http://localhost:{front}", IMAGES)
            async with attached(path) as hub:
                with pytest.raises(BackendFault, match='answered with status 307 for "team/a"'):
                    await hub.ask("set", MAIN)
    assert reached == []
