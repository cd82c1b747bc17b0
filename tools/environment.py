"""Makes a virtual environment that holds exactly what a lock names.

It knows only the standard library: it runs before anything is installed.
"""

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TextIO

IDENTITY = "import sys; print(sys.prefix, *sys.version_info[:2])"
PIN = re.compile(r"^[A-Za-z0-9._-]+==[^\s;\\]+", re.MULTILINE)

# Prints which of its arguments, name==version, are not installed in the environment that runs it.
MISSING = """
import importlib.metadata, sys
from pip._vendor.packaging.utils import canonicalize_name, canonicalize_version
found = {(canonicalize_name(one.metadata["Name"]), canonicalize_version(one.version))
         for one in importlib.metadata.distributions()}
for pin in sys.argv[1:]:
    name, _, version = pin.partition("==")
    if (canonicalize_name(name), canonicalize_version(version)) not in found:
        print(pin)
"""

# With these, pip succeeds and installs elsewhere, or nothing.
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_PYTHON")
COLLECTING = re.compile(r"^Collecting ([A-Za-z0-9._-]+)")
PROGRESS_S = 5.0
KEPT_LINES = 12

NO_NETWORK = (
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Read timed out|name resolution|Name or service not known"
    r"|Network is unreachable|Connection (refused|reset|aborted|broken)|ProtocolError|RemoteDisconnected|IncompleteRead"
    r"|Max retries exceeded|(?i:failed to connect|connection timed out)"
)

# What a command's output contains, and what to say about it; the first one found counts. Network last but a few: pip
# warns of a lost connection, retries, and may then fail for another reason.
REMEDIES = {
    r"No space left on device|Disk quota exceeded": (
        "the disk is full; free some space where {home} and {temporary} are"
    ),
    r"DO NOT MATCH THE HASHES": (
        "a downloaded file does not match its hash in {lock}, so the package index or a proxy has changed it; set "
        "PIP_INDEX_URL to another index, or clear pip's cache: {python} -m pip cache purge"
    ),
    r"CERTIFICATE_VERIFY_FAILED|certificate verify failed": (
        "the certificate of the package index is not trusted here; set PIP_CERT to your CA bundle"
    ),
    r"ProxyError|[Cc]onnect to (the )?proxy|Tunnel connection failed": (
        "cannot reach the proxy; check HTTP_PROXY and HTTPS_PROXY"
    ),
    r"\b40[137] (Client )?Error": (
        "the package index requires a user name and a password; put them into PIP_INDEX_URL or a .netrc file"
    ),
    r"not a trusted or secure host": (
        "pip ignores a package index without https; use https in PIP_INDEX_URL, or allow the host with PIP_TRUSTED_HOST"
    ),
    NO_NETWORK: "cannot reach the package index; check the network, or set PIP_INDEX_URL to a mirror",
    r"No matching distribution found for (?P<package>[^\s;]+)": (
        "the package index has no {package} for {version} on this machine; set PIP_INDEX_URL to another index, or "
        "use another Python: make PYTHON=/path/to/python3.11"
    ),
    r"(?P<conflict>.+ (requires .+, which is not installed|has requirement .+, but you have .+))\.": (
        "{lock} is not complete ({conflict}); write it again: make lock"
    ),
    r"(Permission denied|Read-only file system): '?(?P<path>[^'\n]+)": (
        "cannot write {path}; check who owns it and how it is mounted"
    ),
}


class Failed(Exception):
    """The environment could not be made; the text is one line that says what to fix."""


def main() -> int:
    """Make the environment, or check whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="folder of the environment")
    parser.add_argument("lock", type=Path, help="requirements file with a hash for every package")
    parser.add_argument("--editable", action="append", default=[], help="also install this project, in place")
    parser.add_argument("--pip", type=Path, help="wheel of the pip to use; default: the one that Python brings")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if it has to be made again")
    options = parser.parse_args()
    environment = Environment(options.home, options.lock)
    if options.check:
        return 0 if environment.current() else 1
    try:
        with environment.alone():
            environment.set_up(options.editable, options.pip)
    except Failed as failed:
        environment.say(str(failed), sys.stderr)
        return 1
    except OSError as error:
        environment.say(environment.remedy(str(error)), sys.stderr)
        return 1
    except KeyboardInterrupt:
        environment.say("interrupted; run the same command again", sys.stderr)
        return 130
    return 0


class Environment:
    """A virtual environment, its lock, and a stamp that is there only when all of it is installed."""

    def __init__(self, home: Path, lock: Path) -> None:
        self.home = home
        self.lock = lock
        self.python = home / "bin" / "python"
        self.stamp = home / ".ready"

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Print a line of progress."""
        print(f"{self.home}: {text}", file=stream or sys.stdout, flush=True)

    def current(self) -> bool:
        """Whether it is complete, where it was made, with the Python and the lock that it was made with."""
        return self.stamp.is_file() and self.stamp.read_text() == self._description()

    def _description(self) -> str:
        # An environment holds its own path in its commands, and its Python's version in the path of its packages. A
        # checkout that was moved and a Python that was upgraded in place leave one that does not work.
        try:
            done = subprocess.run([self.python, "-Ic", IDENTITY], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return "its Python does not run"
        return f"{done.stdout}{hashlib.sha256(self.lock.read_bytes()).hexdigest()}\n"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for another process that sets up the same environment, such as "make" in a second terminal."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.home.parent, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("another process is setting it up; waiting")
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def set_up(self, projects: Sequence[str], pip: Path | None) -> None:
        """Make it unless it is current, and install the projects.

        What an interrupted set-up has left is removed first: pip may take half a package for a whole one.

        Raises:
            Failed: something has to be fixed first.
        """
        began_s, complete = time.monotonic(), self.current()
        if complete and not projects:
            return
        self.stamp.unlink(missing_ok=True)
        if not complete:
            self._make(pip)
            self._install_lock()
        if projects:
            self.say(f"installing {' and '.join(projects)} in place")
            options = [part for project in projects for part in ("--editable", project)]
            self._pip("install", "--no-deps", "--no-build-isolation", *options)
        self.say("checking that the packages fit together")
        self._pip("check")
        self._check_lock()
        self.stamp.write_text(self._description())
        self.say(f"complete, {time.monotonic() - began_s:.0f} s")

    def _make(self, pip: Path | None) -> None:
        try:
            import ensurepip  # noqa: F401, PLC0415  # Not in Debian's own python3.
            import venv  # noqa: F401, PLC0415
        except ImportError:
            raise Failed(
                f"{sys.executable} has no venv module; on Debian and Ubuntu run: apt-get install python3-venv"
            ) from None
        self.say(f"creating it with {version()}, {sys.executable}")
        self._run([sys.executable, "-m", "venv", "--clear", "--without-pip", self.home])
        if pip is None:
            self._run([self.python, "-Im", "ensurepip", "--upgrade", "--default-pip"])
        else:
            self._run([self.python, "-I", pip / "pip", "install", "--no-index", pip])

    def _install_lock(self) -> None:
        count = len(PIN.findall(self.lock.read_text(encoding="utf-8")))
        self.say(f"installing {count} packages from {self.lock}")
        # The lock is complete, and resolving it again would fail after some dependency's next release: pip rejects a
        # requirement such as coverage[toml]>=7 in hash mode once the index has a version newer than the locked one. A
        # source archive would be built with whatever versions of its build tools are the newest today.
        options = ("--no-deps", "--require-hashes", "--only-binary=:all:")
        self._pip("install", *options, "--requirement", self.lock, count=count)

    def _check_lock(self) -> None:
        """Find what pip says it has installed, but is not there: pip's configuration can send it elsewhere."""
        pins = PIN.findall(self.lock.read_text(encoding="utf-8"))
        done = subprocess.run([self.python, "-Ic", MISSING, *pins], capture_output=True, text=True, check=False)
        missing = done.stdout.split()
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
            raise Failed("cannot tell which packages it has; the reason is above")
        if missing:
            raise Failed(
                f"{len(missing)} of the {len(pins)} packages in {self.lock} are not in it, such as {missing[0]}; "
                f"remove target, prefix, root and dry-run from pip's configuration: {self.python} -m pip config list"
            )

    def _pip(self, command: str, *arguments: object, count: int = 0) -> None:
        quiet = ("--disable-pip-version-check", "--no-input")
        self._run([self.python, "-Ium", "pip", command, *quiet, *arguments], count)

    def _run(self, command: Sequence[object], count: int = 0) -> None:
        """Run a command to its end; its output is shown only if it fails, with the line that says what to fix."""
        # PIP_USER, or "user = true" in pip's configuration, makes pip refuse every virtual environment.
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        environment = {**kept, "PIP_USER": "0", "PIP_PROGRESS_BAR": "off", "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            lines = list(self._followed(process.stdout or (), count))
        if process.returncode == 0:
            return
        said = "".join(lines)
        if "No matching distribution found" in said and not re.search(NO_NETWORK, said) and "-vv" not in command:
            # An index that cannot be reached, or refuses, is the same to pip as one without the package. It tells them
            # apart only with -vv, which prints a line for every file of every package.
            self._run([*command, "-vv"])
        sys.stderr.writelines(f"  {line}" for line in lines[-KEPT_LINES:])
        raise Failed(self.remedy(said))

    def _followed(self, lines: Iterable[str], count: int) -> Iterator[str]:
        collected, told_s = 0, time.monotonic()
        for line in lines:
            yield line
            found = COLLECTING.match(line)
            collected += found is not None
            if found and count and time.monotonic() - told_s > PROGRESS_S:
                told_s = time.monotonic()
                self.say(f"{collected} of {count}: {found[1]}")
            if count and line.startswith("Installing collected packages"):
                self.say("unpacking them")

    def remedy(self, text: str) -> str:
        """What to fix, in one line, by what a command said."""
        facts: dict[str, object] = {"home": self.home, "lock": self.lock, "python": self.python}
        facts |= {"temporary": gettempdir(), "version": version()}
        for pattern, remedy in REMEDIES.items():
            found = re.search(pattern, text)
            if found:
                return remedy.format(**facts, **found.groupdict())
        lines = [line for line in text.splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "no output")
        return f"not installed; the reason is above ({said.removeprefix('ERROR: ')})"


def version() -> str:
    """The version of this interpreter, for a person."""
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}"


if __name__ == "__main__":
    sys.exit(main())
