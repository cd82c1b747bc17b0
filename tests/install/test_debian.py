"""The README's quick start on a Debian with nothing but what the README asks for, timed.

The commands are read from README.md, and run in a clean copy of the last commit, in a root of its own; only the network
is this machine's. Making a Debian takes a minute, so this happens only with APPSET_HUB_TEST_DEBIAN=1: `make
test-debian`. The ports of `make run` have to be free.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.debian import AUTHORITIES, bootstrap, need_privileges
from tests.deploy.rendering import need
from tests.e2e.support.processes import seconds_here
from tests.install.installing import CACHE, ROOT, command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.support.processes import Finished

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("APPSET_HUB_TEST_DEBIAN") != "1", reason="run make test-debian: it makes a small Debian"
    ),
    pytest.mark.timeout(900),
]

CHECKOUT = "/root/appset-hub"
SET_UP_TARGET_S, ANSWER_TARGET_S = 60, 90
LIMIT_S = 120
"""The targets are for a quiet machine with two processors; twice as long is a failure there."""

# What leads to the package index on this machine, wherever it is.
OF_THE_NETWORK = re.compile(
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|DEFAULT_TIMEOUT|PROXY)|SSL_CERT_FILE|.*_proxy", re.IGNORECASE
)

# Arguments: the root, the authorities, the checkout, a command line.
START = """
set -e
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
if [ -d "$2" ]; then mount --bind "$2" "$1$2"; fi
exec chroot "$1" sh -c 'cd "$1" && exec sh -c "$2"' sh "$3" "$4"
"""


class Debian:
    """A root with the packages, a clean copy of the last commit, and no caches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {key: value for key, value in os.environ.items() if OF_THE_NETWORK.fullmatch(key)}
        self.environment = {**kept, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

    def refresh(self) -> None:
        """Take the last commit, forget what an earlier run has left, and use this machine's network."""
        shutil.rmtree(self.root / "root")
        shutil.rmtree(self.root / "tmp")
        for folder in ("tmp", CHECKOUT.removeprefix("/")):
            (self.root / folder).mkdir(parents=True)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", self.root / CHECKOUT.removeprefix("/")], input=archive, check=True)
        for path in map(Path, ("/etc/resolv.conf", "/etc/pip.conf")):
            if path.exists():
                shutil.copyfile(path, self.root / path.relative_to("/"))

    def command(self, line: str) -> list[str]:
        """The command of this machine that runs a line there."""
        return ["unshare", "--mount", "sh", "-c", START, "sh", *map(str, (self.root, AUTHORITIES, CHECKOUT, line))]

    def run(self, line: str) -> Finished:
        return command(*self.command(line), env=self.environment)


class Readme:
    """The quick start: the packages that it asks for, its commands, and the answer that it shows."""

    def __init__(self) -> None:
        text = (ROOT / "README.md").read_text()
        [section] = re.findall(r"^## Quick start$(.*?)^## ", text, flags=re.MULTILINE | re.DOTALL)
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        lines = [
            line.replace("\\\n", "")
            for kind, block in blocks
            if kind == "sh"
            for line in re.split(r"(?<!\\)\n", block.strip())
        ]
        self.server, self.curl, *self.others = lines
        [self.answer] = [json.loads(block) for kind, block in blocks if kind == "json"]
        [packages] = re.findall(r"`apt-get install ([\w -]+)`", section)
        self.packages: list[str] = packages.split()


@pytest.fixture(scope="module")
def debian() -> Debian:
    need_privileges()
    packages = Readme().packages
    root = CACHE / "-".join(["debian", *packages])
    if not root.exists():
        half = CACHE / "half-a-debian"
        bootstrap(half, *packages, "ca-certificates")
        half.rename(root)
    made = Debian(root)
    made.refresh()
    return made


class Server:
    """`make run` in a terminal of its own."""

    def __init__(self, debian: Debian, line: str, output: Path) -> None:
        self.began_s = time.monotonic()
        self._output = output
        with output.open("w") as stream:
            self._process = subprocess.Popen(
                debian.command(line),
                env=debian.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self._output.read_text()

    def alive(self) -> bool:
        return self._process.poll() is None

    def seconds(self) -> float:
        return time.monotonic() - self.began_s

    def wait(self, holds: Callable[[], bool], limit_s: float) -> float:
        """Wait until something holds; returns the seconds since the start."""
        while not holds():
            assert self.alive(), self.output()
            assert self.seconds() < limit_s, f"not within {limit_s:.0f} s:\n{self.output()}"
            time.sleep(0.2)  # Between two looks at a condition, not instead of one.
        return self.seconds()

    def interrupt(self) -> None:
        """Ctrl-C: the terminal tells every process that runs in it."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(30)

    def kill(self) -> None:
        if self.alive():
            self.interrupt()


@pytest.fixture
def server(debian: Debian, tmp_path: Path) -> Iterator[Server]:
    running = Server(debian, Readme().server, tmp_path / "output")
    yield running
    running.kill()


def test_the_quick_start_works_as_the_readme_has_it(
    debian: Debian, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    need("git")
    readme, times, limit_s = Readme(), {}, seconds_here(LIMIT_S)
    times[f"set-up (target: {SET_UP_TARGET_S} s)"] = server.wait(lambda: ".venv: complete" in server.output(), limit_s)
    answered_s = server.wait(lambda: debian.run(f"{readme.curl} --silent --fail").code == 0, limit_s)
    times[f"first answer of curl (target: {ANSWER_TARGET_S} s)"] = answered_s
    answer = debian.run(f"{readme.curl} --silent --show-error")
    assert json.loads(answer.out) == readme.answer, answer
    for line in readme.others:
        began_s = time.monotonic()
        done = debian.run(line)
        assert done.code == 0, done
        assert done.out.strip(), line
        times[line] = time.monotonic() - began_s
    began_s = time.monotonic()
    server.interrupt()
    times["Ctrl-C"] = time.monotonic() - began_s
    assert debian.run(f"{readme.curl} --silent").code == 7, "the port is still open after Ctrl-C"
    with capsys.disabled():
        sys.stdout.write(f"\nREADME.md on a new Debian with {', '.join(readme.packages)}:\n")
        sys.stdout.writelines(f"  {seconds:6.1f} s  {step}\n" for step, seconds in times.items())


def test_that_debian_has_no_other_tools(debian: Debian) -> None:
    assert Readme().packages == ["make", "python3-venv", "curl"]
    assert debian.run("command -v git gcc pip go node").out == ""


def test_without_venv_it_names_the_package_that_is_missing(debian: Debian) -> None:
    moved = debian.root / "usr" / "lib" / "python3.11" / "ensurepip"
    aside = moved.with_name("ensurepip-aside")
    moved.rename(aside)  # What Debian's python3 lacks without python3-venv.
    try:
        done = debian.run("rm -rf .venv; make setup")
    finally:
        aside.rename(moved)
    assert done.code == 2
    assert "apt-get install python3-venv" in done.err.splitlines()[-2]
