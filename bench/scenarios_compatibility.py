"""What becomes of the replies of existing HTTP plugins."""

from __future__ import annotations

import functools
import sys
import threading
import time
from typing import TYPE_CHECKING

from hub_site import SERVED
from processes import free_port, listens
from scenarios_guard import opened, services

if TYPE_CHECKING:
    from scenarios_guard import Play
    from stage import Stage

_SLOW_S = 3.0
_LATER_S = 2.5


def _plugin(stage: Stage, *replies: str) -> None:
    """An HTTP plugin that gives these replies in turn, behind the bundled backend."""
    port = free_port()
    folder = stage.folder
    (folder / "replies").write_text("\0".join(replies))
    (folder / "plugin.token").write_text("plugin-token")
    stage.fleet.start("plugin", (sys.executable, SERVED / "fixed_plugin.py", str(port), folder / "replies"))
    stage.fleet.wait("the plugin listens", lambda: listens(port))
    (folder / "plugin.yaml").write_text(
        f"base_url: http://127.0.0.1:{port}\ntoken_file: plugin.token\napplication_sets: ['*']\n"
    )
    token = folder / "images.token"
    token.write_text("token-of-images")
    stage.configure(
        backends=[{"name": "images", "tokens": [{"file": "images.token"}]}],
        routes=[{"name": "all", "application_sets": ["*"], "backends": ["images"], "unique_by": ["a"]}],
    )
    stage.start()
    command = stage.python.with_name("appset-hub-backend")
    stage.fleet.start(
        "http-plugin",
        (
            *(command, "http-plugin", "--config", folder / "plugin.yaml", "--name", "images"),
            *("--hub", f"127.0.0.1:{stage.grpc}", "--token-file", token),
        ),
    )
    stage.wait_for_backends()


def _reply(status: str, body: str, *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", body])


def _one(stage: Stage, *, reply: str) -> str:
    _plugin(stage, reply)
    return str(stage.ask("previews"))


def _changing_error(stage: Stage) -> str:
    errors = [f'{{"error": "upstream timeout (request {number:06x}, 10:00:0{number}Z)"}}' for number in (1, 2)]
    _plugin(stage, *(_reply("503 Service Unavailable", one) for one in errors))
    first, second = stage.ask("previews"), stage.ask("previews")
    return "the same text twice" if first.message == second.message else "another text each time"


def _retry_after(stage: Stage) -> str:
    _plugin(stage, _reply("503 Service Unavailable", "{}", "Retry-After: 7"))
    reply = stage.ask("previews")
    return f"{reply}, Retry-After: {reply.headers.get('Retry-After')}"


def _shared(stage: Stage) -> str:
    """How old an answer may be: two equal questions, the second well after the first."""
    backend = opened(stage)
    backend.says(services(1), sleep_s=_SLOW_S)
    first = threading.Thread(target=stage.ask, args=("previews",))
    first.start()
    time.sleep(_LATER_S)
    asked_s = time.monotonic()
    stage.ask("previews")
    first.join()
    age_s = asked_s - max(one for one in backend.asked())
    return f"{max(age_s, 0):.1f} s older than the question"


SCENARIOS: dict[str, Play] = {
    'a plugin says "Output", not "output"': functools.partial(
        _one, reply=_reply("200 OK", '{"Output": {"Parameters": [{"a": "b"}]}}')
    ),
    "a plugin says null for no sets": functools.partial(
        _one, reply=_reply("200 OK", '{"output": {"parameters": null}}')
    ),
    "an error with an id and a time": _changing_error,
    "a plugin says Retry-After: 7": _retry_after,
    "an answer shared with a question 2.5 s later": _shared,
}
