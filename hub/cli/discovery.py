"""Which hub a command talks to: the one that an option names, the environment, or a ``hub.yaml`` in this folder.

Of a configuration only an address and the one token that a command sends are read: an operator's machine need not have
the hub's other secrets.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from hub.cli.asking import Port, ask, glance
from hub.cli.options import LOCAL_CONFIG, WRONG_USE, config_option, json_option, wrong_use
from hub.cli.printing import say
from hub.config.file import File
from hub.config.mistakes import ConfigurationError
from hub.config.read import examined
from hub.core.settings import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.config.file import ServerTls, TokenFile

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_NAMED_BY = {ParameterSource.COMMANDLINE: "--config {}", ParameterSource.ENVIRONMENT: "HUB_CONFIG={}"}

# What no command needs of a configuration. An error in it must not keep an operator from a hub that runs.
_UNUSED = frozenset(File.__struct_fields__) - {"listen", "tls", "admin", "clients"}

_TIMEOUT_S = 10
CA_HELP = (
    "CA bundle for the hub's certificate; default: exactly the certificate that the configuration names, or for a URL "
    "the system's CAs."
)
_ADMIN_CA = "--admin-ca-file"
_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A configuration as it is written, and how it was found; without one, the hub's defaults."""

    written: File
    folder: Path
    found: str

    def token(self, entry: TokenFile, place: str) -> str:
        """The token in a file that the configuration names at ``place``."""
        return token_in(self.folder / entry.file, f"{place} of {self.found}")

    def certificate(self, tls: ServerTls | None) -> str:
        """The certificate that a port of this hub shows, PEM; empty if it has none, or the file is not here."""
        try:
            chain = "" if tls is None else (self.folder / tls.certificate).read_text("ascii")
        except (OSError, UnicodeError):
            return ""
        return chain[: chain.find(_END) + len(_END)] if _END in chain else ""


def configuration(path: Path | None, url_option: str) -> Configured:
    """The configuration that ``--config`` or ``HUB_CONFIG`` names, or ``./hub.yaml``, or none.

    ``url_option`` is what would have named the hub without any, for messages.
    """
    found = f"the default; there is no {url_option}, --config, HUB_CONFIG or ./{LOCAL_CONFIG}"
    if path is not None:
        found = _NAMED_BY.get(_source("config_path"), "./{}").format(path)
    try:
        written = _usable(path)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        say(f"error: cannot use the configuration ({found}); correct it, or use {url_option} URL", err=True)
        raise SystemExit(WRONG_USE) from error
    return Configured(written=written, folder=path.parent if path is not None else Path(), found=found)


def _usable(path: Path | None) -> File:
    """The configuration as far as a command needs it.

    Raises:
        ConfigurationError: it cannot be read, or what is needed of it is wrong.
    """
    written = examined(path, os.environ, {})
    wrong = [one for one in written.findings.sorted_errors() if re.split(r"[.\[]", one.path)[0] not in _UNUSED]
    if wrong:
        raise ConfigurationError(wrong)
    return written.file


def _source(parameter: str) -> ParameterSource:
    return click.get_current_context().get_parameter_source(parameter) or ParameterSource.DEFAULT


def _is_flag(parameter: str) -> bool:
    return _source(parameter) is ParameterSource.COMMANDLINE


def url_of(listen: str, setting: str, *, tls: bool = False) -> str:
    """Where a hub that listens on ``listen`` is reached from its own machine."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) == 0:
        wrong_use(f'{setting} is "{listen}", which has no port to connect to; give the hub\'s URL instead')
    loopback = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound.
    host = host.removeprefix("[").removesuffix("]")
    return f"{'https' if tls else 'http'}://{Address(loopback.get(host, host), int(port))}"


def token_in(file: Path, named_by: str) -> str:
    """The token in a file."""
    try:
        token = file.read_bytes().strip().decode("ascii")
    except OSError as error:
        wrong_use(f'cannot read the token in "{file}" ({named_by}): {error.strerror}')
    except UnicodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        wrong_use(f'"{file}" ({named_by}) must hold one token of printable ASCII, without spaces')
    return token


class Operator:
    """A running hub, as its operator reaches it: its admin port, and the token that changes need."""

    def __init__(self, find: Callable[[], tuple[Port, Callable[[], str]]]) -> None:
        self._find = find

    def get(self, path: str, kind: type[T]) -> T:
        """Read from the admin API. That needs no token, so none is sent."""
        port, _ = self._find()
        return ask(port, "GET", path, kind)

    def glance(self, path: str, kind: type[T]) -> T | None:
        """Read what only adds to an answer; ``None`` if this hub does not have it, because it is older."""
        port, _ = self._find()
        return glance(port, path, kind)

    def post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        """Change something."""
        port, token = self._find()
        return ask(port, "POST", path, kind, body=body, token=token())


def operator_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add the options that find a running hub, and ``--json``; the command gets them as ``hub`` and ``as_json``."""

    @functools.wraps(command)
    def found(
        *args: Any,
        config_path: Path | None,
        admin_url: str,
        admin_token_file: Path | None,
        admin_ca_file: Path | None,
        timeout_s: float,
        **given: Any,
    ) -> R:
        find = functools.partial(_admin_port, config_path, admin_url, admin_token_file, admin_ca_file, timeout_s)
        return command(*args, hub=Operator(find), **given)  # type: ignore[arg-type]  # click passes by name.

    decorated: Callable[..., R] = found
    for option in (
        json_option,
        timeout_option(_TIMEOUT_S),
        click.option(
            "--admin-token-file",
            type=click.Path(path_type=Path),
            envvar="HUB_ADMIN_TOKEN_FILE",
            show_envvar=True,
            help="File with the admin token; default: the first of admin.tokens in the configuration. "
            "With --config, the variable is ignored.",
        ),
        click.option(
            _ADMIN_CA,
            type=click.Path(path_type=Path),
            envvar="HUB_ADMIN_CA_FILE",
            show_envvar=True,
            help=f"{CA_HELP} With --config, the variable is ignored.",
        ),
        config_option,
        click.option(
            "--admin",
            "admin_url",
            default="",
            metavar="URL",
            envvar="HUB_ADMIN",
            show_envvar=True,
            help="URL of the hub's admin port; default: listen.admin in the configuration.",
        ),
    ):
        decorated = option(decorated)
    return decorated


def timeout_option(default_s: float) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """The option ``--timeout``, given to the command as ``timeout_s``."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True, max=3600),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help="Give up when the hub sends nothing for this long.",
    )


def _admin_port(
    config_path: Path | None, admin_url: str, token_file: Path | None, ca_file: Path | None, timeout_s: float
) -> tuple[Port, Callable[[], str]]:
    """The port, and how to get its token if it comes to that."""
    # A flag is closer than the environment, and the environment's token and CA may be another hub's.
    if _is_flag("config_path") and not (_is_flag("admin_url") or _is_flag("admin_token_file")):
        token_file = None
    if _is_flag("config_path") and not (_is_flag("admin_url") or _is_flag("admin_ca_file")):
        ca_file = None
    given = token_in(token_file, _named(token_file)) if token_file is not None else ""
    if admin_url and (_is_flag("admin_url") or not _is_flag("config_path")):
        found = "--admin" if _is_flag("admin_url") else "HUB_ADMIN"
        port = Port(url=admin_url.rstrip("/"), found=found, timeout_s=timeout_s, ca_file=ca_file, ca_option=_ADMIN_CA)
        return port, lambda: given
    configured = configuration(config_path, "--admin")
    tls = configured.written.tls.admin
    port = Port(
        url=url_of(configured.written.listen.admin, "listen.admin", tls=tls is not None),
        found=configured.found,
        timeout_s=timeout_s,
        ca_file=ca_file,
        certificate=configured.certificate(tls),
        ca_option=_ADMIN_CA,
    )
    return port, lambda: given or _admin_token(configured)


def _named(token_file: Path) -> str:
    return "--admin-token-file" if _is_flag("admin_token_file") else f"HUB_ADMIN_TOKEN_FILE={token_file}"


def _admin_token(configured: Configured) -> str:
    tokens = configured.written.admin.tokens
    return configured.token(tokens[0], "admin.tokens[0]") if tokens else ""
