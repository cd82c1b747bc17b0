"""Attached backends behind nginx, which answers HTTP/2 pings itself and cuts a stream that is silent for 3 s."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.processes import json_of, seconds_here
from tests.e2e.support.rig import free_port

if TYPE_CHECKING:
    from tests.e2e.support.processes import Process
    from tests.e2e.support.rig import Hub, Rig

IDLE_S = 3
CLAIM = ("--application-sets", "fb-*")
DOCUMENTED_S = 15.0

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} http2;
        client_max_body_size 0;
        client_body_timeout {idle_s}s;
        location / {{
            grpc_pass grpc://127.0.0.1:{hub};
            grpc_read_timeout {idle_s}s;
            grpc_send_timeout {idle_s}s;
        }}
    }}
}}
"""


def nginx() -> str:
    """The program; without it the test is skipped, but not where CI runs."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        text = "nginx is not here: on Debian, apt-get install nginx"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


def behind(rig: Rig, **more: object) -> tuple[Hub, Process]:
    """A hub, and a backend that is attached to it through nginx."""
    program = nginx()
    rig.configure(backends=[rig.backend("images", application_sets=["fb-*"])], **more)
    hub = rig.hub()
    port = free_port()
    file = rig.folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=rig.folder, port=port, hub=hub.grpc, idle_s=IDLE_S))
    rig.start(program, "-c", file, "-e", "stderr").says("nginx/")
    where = ("--hub", f"127.0.0.1:{port}", "--token-file", rig.folder / "tokens" / "images")
    backend = rig.sdk("images", None, *where, *CLAIM)
    hub.joined("images")
    return hub, backend


def warnings(hub: Hub, since: int) -> set[str]:
    return {json_of(line)["event"] for line in hub.lines[since:] if json_of(line).get("level") == "warning"}


def test_a_question_that_takes_longer_than_the_proxy_waits_is_answered_on_the_same_stream(rig: Rig) -> None:
    hub, backend = behind(rig)
    assert hub.ask("fb-1", {"wait_s": 2 * IDLE_S}).sets == [{"from": "images"}]
    assert len(hub.events("instance_joined")) == 1
    assert len(backend.events("asked")) == 1


def test_a_frozen_backend_behind_the_proxy_is_noticed_in_the_documented_time(rig: Rig) -> None:
    hub, backend = behind(rig)
    marked = hub.mark()
    backend.signal(signal.SIGSTOP)
    began_s = time.monotonic()
    hub.event("instance_left", after=marked)
    assert time.monotonic() - began_s < seconds_here(DOCUMENTED_S)
    backend.signal(signal.SIGCONT)
    hub.joined("images", after=marked)


def test_a_stream_that_is_cut_because_it_is_idle_is_opened_again_without_a_warning(rig: Rig) -> None:
    # So seldom that the proxy sees none.
    hub, backend = behind(rig, limits={"heartbeat": "1m"})
    marked = hub.mark()
    hub.event("instance_left", after=marked)
    hub.joined("images", after=marked)
    assert hub.ask("fb-1").sets == [{"from": "images"}]
    assert warnings(hub, marked) == set()
    assert "attaching again" in backend.output
    assert "not attached to the hub" not in backend.output
