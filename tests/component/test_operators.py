"""The commands that decide, on the admin port of a hub: what a person reads, and what the audit log keeps."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hub.core.routes import CLAIMED
from tests.support.admin import ADMIN, NO_TOKENS, admin_port
from tests.support.fakes import FakeLink, FakeStore, Says, sets
from tests.support.service import Service, guarded_by_default

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.core.tokens import TokenRing

COMMAND = Path(sys.executable).parent / "appset-hub"
INPUT = {"branch": "main", "depth": 3, "long": "x" * 1000, "k" * 1000: True}


class Operated:
    """A hub, and commands that a person runs against it in a process."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("HUB")}
        self._env["HUB_ADMIN"] = f"http://127.0.0.1:{port}"

    async def run(
        self, *arguments: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None, code: int = 0
    ) -> str:
        """What a command says: its output, or its error if that is what is expected."""
        out, err = await self._run(*arguments, before=before, env=env, code=code)
        return err if code else out

    async def _run(
        self, *arguments: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None, code: int = 0
    ) -> tuple[str, str]:
        running = await asyncio.create_subprocess_exec(
            *(*before, str(COMMAND), *arguments),
            cwd="/",
            env={**self._env, **(env or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await running.communicate()
        assert running.returncode == code, (out, err)
        assert b"Traceback" not in err
        return out.decode(), err.decode()

    async def warnings(self, *arguments: str) -> str:
        """What a command that succeeds says on standard error."""
        return (await self._run(*arguments))[1]

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))

    async def hold(self, name: str = "fb-1", parameters: dict[str, Any] | None = None) -> str:
        """Have an answer held; returns its id."""
        await self.service.ask(name, parameters)
        await self.service.refusal(name, parameters)
        return self.service.guard.held()[-1].id


def numbered(count: int) -> Any:
    return sets(*({"n": str(number)} for number in range(count)))


@asynccontextmanager
async def operated(*, tokens: TokenRing[str] = NO_TOKENS, store: FakeStore | None = None) -> AsyncIterator[Operated]:
    """A hub whose only backend loses nine sets of ten, and has one that it did not have."""
    service = Service(guarded_by_default(), store=store, claims={"images": ("fb-*", "pr-*")})
    await service.guard.open()
    less = sets({"n": "0"}, {"n": "new"})
    await service.attach(FakeLink("one", Says(numbered(10), less)))
    async with admin_port(service, tokens) as port:
        yield Operated(service, port.number)


async def test_held_shows_the_input_and_the_backends_shortened() -> None:
    async with operated() as hub:
        await hub.hold(parameters=INPUT)
        table = await hub.run("held")
        assert "branch=main, depth=3, " in table
        assert re.search(r"images 2 +9 of 10", table), table
        (held,) = await hub.json("held")
        assert held["input"] == {
            "branch": "main",
            "depth": "3",
            "long": "x" * 63 + "…",
            "k" * 63 + "…": "true",
        }
        assert (held["members"], held["came"]) == ({"images": 2}, 1)


async def test_of_an_input_with_many_keys_twenty_are_kept() -> None:
    async with operated() as hub:
        await hub.hold(parameters={f"key-{number:02}": number for number in range(30)})
        (held,) = await hub.json("held")
        assert list(held["input"]) == [f"key-{number:02}" for number in range(20)]


async def test_held_with_check_says_by_its_exit_code_whether_anything_is_held() -> None:
    async with operated() as hub:
        assert await hub.run("held", "--check") == "nothing is held\n"
        await hub.hold()
        await hub.run("held")
        assert await hub.run("held", "--check", code=1) == ""


async def test_what_callers_made_up_reaches_no_terminal_as_a_control_character() -> None:
    async with operated() as hub:
        await hub.hold(parameters={"branch": "\x1b[2J\u202e"})
        assert "branch=\\x1b[2J\\u202e" in await hub.run("held")


async def test_accept_says_what_is_known_and_how_argo_cd_retries_at_once() -> None:
    async with operated() as hub:
        held_id = await hub.hold("fb-1")
        said = await hub.run("accept", held_id, "--by", "ada")
        accepted, known, retry, command = said.splitlines()
        assert accepted == (
            'accepted: the next answer for "fb-1" that loses no other sets than this one passes, once; this one has '
            "2 sets"
        )
        assert known.startswith("compared with the 10 previous sets: 9 missing, 0 changed, 1 new; ")
        assert "depends on the ApplicationSet's template" in known
        assert "within three minutes" in retry
        assert re.fullmatch(
            r"kubectl annotate applicationset fb-1 -n argocd "
            rf'argocd\.argoproj\.io/application-set-refresh="{held_id}-\d+" --overwrite',
            command,
        )
        assert len(await hub.service.ask("fb-1")) == 2


async def test_a_second_decision_has_another_value_for_the_annotation() -> None:
    async with operated() as hub:
        held_id = await hub.hold()
        first = (await hub.run("accept", held_id)).splitlines()[-1]
        async with asyncio.timeout(10):
            while (second := (await hub.run("accept", held_id)).splitlines()[-1]) == first:
                pass  # In the same second.
        assert second.split("=")[0] == first.split("=")[0]


@pytest.mark.parametrize("name", ["fb;reboot", "fb$(reboot)", "--help", "fb'1"])
async def test_a_name_that_no_object_has_gets_into_no_command_to_paste(name: str) -> None:
    async with operated() as hub:
        said = await hub.run("accept", await hub.hold(name))
        assert f'"{name}"' in said
        assert "kubectl" not in said


async def test_the_command_to_paste_names_the_namespace_if_argo_cd_sent_it() -> None:
    async with operated(store=FakeStore()) as hub:
        await hub.hold()
        ((key, value),) = ((key, value) for key, value in hub.service.store.values.items() if key[0] == "held")
        record = json.loads(value)
        record["subject"]["application_set_namespace"] = "team-a"
        hub.service.store.values[key] = json.dumps(record).encode()
        await hub.service.guard.open()
        assert " fb-1 -n team-a " in await hub.run("accept", record["id"])


async def test_the_audit_log_shows_decisions_and_what_was_forgotten() -> None:
    async with operated() as hub:
        held_id = await hub.hold()
        await hub.run("reject", held_id, "--by", "ada")
        await hub.run("backends", "forget", "images", "--by", "bob")
        await hub.run("backends", "forget", "owners", "--by", "bob")
        _, rejected, forgotten, nothing = (await hub.run("audit")).splitlines()
        assert re.search(rf"ada  reject  {held_id} fb-1 \(route previews\)  9 of 10 sets missing or changed", rejected)
        assert re.search(r"bob  forget  backend images +no longer claims fb-\*, pr-\*$", forgotten)
        assert re.search(r"bob  forget  backend owners +it had claimed nothing$", nothing)
        assert [entry["who"] for entry in await hub.json("audit")] == ["ada", "bob", "bob"]


@pytest.mark.parametrize("command", [["accept", "5ee72c51"], ["reject", "5ee72c51"], ["backends", "forget", "images"]])
async def test_a_wrong_admin_token_is_a_no_that_names_what_to_check(command: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("argocd-token")
    async with operated(tokens=ADMIN) as hub:
        assert "403: wrong admin token" in await hub.run(*command, "--admin-token-file", str(wrong), code=1)
        assert "--admin-token-file or HUB_ADMIN_TOKEN_FILE" in await hub.run(*command, code=1)


async def test_an_id_that_is_not_held_is_a_no() -> None:
    async with operated() as hub:
        assert "404: no answer is held under this id" in await hub.run("accept", "5ee72c51", code=1)


OLD_HELD = {
    "id": "5ee72c51",
    "subject": {
        "client": "argocd",
        "route": "previews",
        "application_set_name": "fb-1",
        "application_set_namespace": "",
        "input_digest": "44136fa3",
    },
    "answer_digest": "00",
    "went": 8,
    "before": 10,
    "sets": 2,
    "missing": ["a"],
    "since_s": 1_700_000_000.0,
    "decision": "",
    "decided_by": "",
}
OLD_ENTRY = {
    "at_s": 1_700_000_000.0,
    "who": "ada",
    "action": "reject",
    "held_id": "5ee72c51",
    "subject": OLD_HELD["subject"],
    "went": 8,
    "before": 10,
}


async def test_records_that_an_older_hub_has_written_are_shown_and_decided() -> None:
    store = FakeStore()
    store.values["held", "fb-1/00"] = json.dumps(OLD_HELD).encode()
    store.values["audit", "1700000000.000000-1"] = json.dumps(OLD_ENTRY).encode()
    async with operated(store=store) as hub:
        assert re.search(r"5ee72c51  fb-1 +previews  - +- +8 of 10", await hub.run("held"))
        assert "8 of the 10 previous sets are missing or changed; " in await hub.run(
            "accept", "5ee72c51", "--by", "bob"
        )
        assert [entry["who"] for entry in await hub.json("audit")] == ["ada", "bob"]
        assert "8 of 10 sets missing or changed" in await hub.run("audit")


NOBODY = ("setpriv", "--reuid=65532", "--regid=65532", "--clear-groups")


def runs_as_nobody() -> bool:
    """Whether this Python does: one in a home folder, as pyenv's is, may be closed to others."""
    try:
        return subprocess.run([*NOBODY, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    not runs_as_nobody(), reason="needs root, setpriv, and a Python that a user that does not exist may run"
)
@pytest.mark.parametrize(
    ("env", "who"),
    [
        ({"USER": "", "LOGNAME": ""}, "uid 65532"),
        ({"USER": "ada", "LOGNAME": "bob"}, "ada"),
        ({"USER": " ", "LOGNAME": "bob"}, "bob"),
    ],
    ids=["nothing", "USER", "LOGNAME"],
)
async def test_a_user_without_an_entry_in_passwd_decides_too(env: dict[str, str], who: str) -> None:
    async with operated() as hub:
        held_id = await hub.hold()
        for command in (["reject", held_id], ["accept", held_id], ["backends", "forget", "images"]):
            await hub.run(*command, before=NOBODY, env=env)
        assert [entry["who"] for entry in await hub.json("audit")] == [who] * 3


async def test_without_a_name_it_is_that_of_the_login() -> None:
    async with operated() as hub:
        await hub.run("backends", "forget", "images", env={"USER": "somebody-else"})
        (entry,) = await hub.json("audit")
        assert entry["who"] == pwd.getpwuid(os.getuid()).pw_name


async def test_freeze_and_unfreeze_say_what_they_did_and_every_list_shows_it() -> None:
    async with operated() as hub:
        said = await hub.run("freeze", "--route", "previews", "--reason", "an incident", "--by", "ada")
        assert said == (
            'frozen: route "previews"; changed answers get a 503 until you run: appset-hub unfreeze --route previews\n'
        )
        assert re.search(r"previews .* yes$", await hub.run("routes"), re.MULTILINE)
        for command in (("routes",), ("held",), ("explain", "fb-1")):
            assert "frozen by ada since " in await hub.warnings(*command), command
        assert re.search(r'ada +freeze +route "previews" +an incident', await hub.run("audit"))
        assert await hub.run("unfreeze") == "there was nothing to lift: no freeze of all routes\n"
        assert "frozen by ada since " in await hub.warnings("unfreeze")
        assert await hub.run("unfreeze", "--route", "previews") == 'no longer frozen: route "previews"\n'
        assert await hub.warnings("held") == ""


async def test_a_freeze_of_claims_has_its_own_option() -> None:
    async with operated() as hub:
        said = await hub.run("freeze", "--claims", "--reason", "an incident")
        assert "names that are served by claims" in said
        assert "unfreeze --claims" in said
        assert hub.service.freezes.of(CLAIMED) is not None
        await hub.run("unfreeze", "--claims")
        assert hub.service.freezes.all() == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("--route", "preview", "--reason", "r"), 1, id="unknown route"),
        pytest.param(("--route", "previews"), 2, id="no reason"),
        pytest.param(("--reason", "two\nlines"), 2, id="two lines"),
        pytest.param(("--reason", "r", "--route", "previews", "--claims"), 2, id="both"),
    ],
)
async def test_a_freeze_that_makes_no_sense_is_refused(arguments: tuple[str, ...], code: int) -> None:
    async with operated() as hub:
        await hub.run("freeze", *arguments, code=code)
        assert hub.service.freezes.all() == []
