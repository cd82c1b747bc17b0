"""The commands that teach which keys identify a set, and show where they come from, on the admin port of a hub."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.routes import CLAIMED, Route, Trust
from tests.support.admin import admin_port
from tests.support.fakes import FakeLink, Says, sets
from tests.support.service import Service, guarded_by_default

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COMMAND = Path(sys.executable).parent / "appset-hub"


def release(tag: str) -> Any:
    return sets(*({"name": f"svc-{number}", "tag": tag} for number in range(8)))


class Operated:
    """A hub that holds a release, and commands that a person runs against it in a process."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("HUB")}
        self._env["HUB_ADMIN"] = f"http://127.0.0.1:{port}"

    async def run(self, *arguments: str, code: int = 0) -> str:
        running = await asyncio.create_subprocess_exec(
            str(COMMAND),
            *arguments,
            cwd="/",
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await running.communicate()
        assert running.returncode == code, (out, err)
        return (err if code else out).decode()

    async def typed(self, text: str, *arguments: str) -> str:
        """What a command shows in a terminal in which a person types."""
        ours, theirs = pty.openpty()
        try:
            running = await asyncio.create_subprocess_exec(
                str(COMMAND), *arguments, cwd="/", env=self._env, stdin=theirs, stdout=theirs, stderr=theirs
            )
            os.write(ours, text.encode())
            assert await running.wait() == 0
            return os.read(ours, 65536).decode()
        finally:
            os.close(ours)
            os.close(theirs)

    @property
    def held_id(self) -> str:
        return self.service.guard.held()[-1].id


@asynccontextmanager
async def held(*, claimed: bool = False, unique_by: tuple[str, ...] = ()) -> AsyncIterator[Operated]:
    """A hub that holds the second of three releases."""
    service = Service(*(() if claimed else (guarded_by_default(),)))
    if claimed:
        service.routing.set_routes((), claimed=Route(name=CLAIMED, members=(), trust=Trust()))
    await service.guard.open()
    says = Says(*(release(tag) for tag in "abc"))
    await service.attach(FakeLink("one", says), "images", "fb-*", unique_by=unique_by)
    await service.ask()
    if not unique_by:
        await service.refusal()
    async with admin_port(service) as port:
        yield Operated(service, port.number)


async def test_accept_teaches_the_keys_that_an_option_names() -> None:
    async with held() as hub:
        said = await hub.run("accept", hub.held_id, "--unique-by", "name", "--by", "ada")
        assert "learnt: name identifies a set; to undo this, run: appset-hub routes forget-keys previews" in said
        assert "compared with the 8 previous sets: 0 missing, 8 changed, 0 new" in said
        assert len(await hub.service.ask()) == 8
        audit = await hub.run("audit")
        assert "ada  teach" in audit
        assert "route previews" in audit
        assert "name identifies a set" in audit
        assert "name (taught by ada at " in await hub.run("routes")
        assert "sets are identified by name (taught by ada at " in await hub.run("explain", "fb-1")


@pytest.mark.parametrize(
    ("typed", "taught"),
    [("\n", ("name",)), ("name, tag\n", ("name", "tag")), ("none\n", ())],
    ids=["the suggestion", "others", "none"],
)
async def test_in_a_terminal_accept_asks_and_offers_the_suggestion(typed: str, taught: tuple[str, ...]) -> None:
    async with held() as hub:
        said = await hub.typed(typed, "accept", hub.held_id)
        assert "8 of 8 sets changed, 0 missing." in said
        assert '"none" [name]:' in said
        assert hub.service.overview.routes()[0].identity[0].keys == taught


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["no terminal", "--json"])
async def test_without_a_terminal_nothing_is_asked_and_nothing_taught(options: tuple[str, ...]) -> None:
    async with held() as hub:
        await hub.run("accept", hub.held_id, *options)
        assert hub.service.overview.routes()[0].identity[0].keys == ()


async def test_keys_that_do_not_fit_are_a_no_with_the_reason() -> None:
    async with held() as hub:
        said = await hub.run("accept", hub.held_id, "--unique-by", "tag", code=1)
        assert '[tag] cannot identify the sets of this answer: sets 1 and 2 of 8 have equal values under "tag"' in said
        assert "nothing was changed" in said


@pytest.mark.parametrize("keys", ["", "name,", "name,name"])
async def test_a_list_of_keys_that_is_none_is_wrong_use(keys: str) -> None:
    async with held() as hub:
        assert "separated by commas" in await hub.run("accept", hub.held_id, "--unique-by", keys, code=2)


async def test_keys_of_a_claimed_name_are_those_of_its_backend() -> None:
    async with held(claimed=True) as hub:
        assert "backends forget-keys images" in await hub.run("accept", hub.held_id, "--unique-by", "name")
        assert "name (taught by " in await hub.run("backends", "list")
        assert await hub.run("backends", "forget-keys", "images") == "forgotten: name\n"
        assert "unteach" in await hub.run("audit")


async def test_what_was_taught_is_forgotten_on_demand() -> None:
    async with held() as hub:
        await hub.run("accept", hub.held_id, "--unique-by", "name")
        assert await hub.run("routes", "forget-keys", "previews", "--by", "bob") == "forgotten: name\n"
        assert await hub.run("routes", "forget-keys", "previews") == "no keys had been taught\n"
        assert json.loads(await hub.run("routes", "--json"))[0]["identity"][0]["keys"] == []
        assert "no such route" in await hub.run("routes", "forget-keys", "nowhere", code=1)
        assert "no such backend" in await hub.run("backends", "forget-keys", "nobody", code=1)
        assert await hub.run("routes", "list") == await hub.run("routes")


async def test_explain_says_where_keys_come_from_or_what_their_absence_means() -> None:
    async with held() as hub:
        said = await hub.run("explain", "fb-1")
        assert "the hub does not know which keys identify them, so a release that changes many" in said
    async with held(unique_by=("name",)) as hub:
        assert "sets are identified by name (declared by the backend)" in await hub.run("explain", "fb-1")


async def test_held_and_history_show_what_changed() -> None:
    async with held() as hub:
        (shown,) = json.loads(await hub.run("held", "--json"))
        assert (shown["went"], shown["changed"], shown["suggested"], shown["lost"]) == (0, 8, ["name"], None)
        assert "SUGGESTED KEYS" in await hub.run("held")
    async with held(unique_by=("name",)) as hub:
        await hub.service.ask()
        assert "8 svc-0, svc-1" in await hub.run("history", "fb-1")


@pytest.mark.parametrize(
    "unique_by", [["name", "name"], [""], ["k"] * 9, "name"], ids=["twice", "empty", "too many", "text"]
)
async def test_the_api_refuses_keys_that_are_none(unique_by: Any) -> None:
    async with held() as hub, admin_port(hub.service) as port:
        body = {"by": "ada", "unique_by": unique_by}
        status, document = await port.call("POST", f"/api/held/{hub.held_id}/accept", json=body)
        assert (status, document["error"]) == (400, "invalid_request")
