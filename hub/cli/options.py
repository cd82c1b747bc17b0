"""What several commands take, and what they say when it is wrong."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click
import msgspec

from hub.cli.printing import say
from hub.config.load import Source, load
from hub.config.mistakes import ConfigurationError
from hub.core.nesting import check_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hub.core.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

NO = 1
WRONG_USE = 2
UNKNOWN = 3

LOCAL_CONFIG = Path("hub.yaml")


def _local_config() -> Path | None:
    return LOCAL_CONFIG if LOCAL_CONFIG.is_file() else None


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_local_config,
    show_default=f"./{LOCAL_CONFIG}, if it exists",
    envvar="HUB_CONFIG",
    show_envvar=True,
    help="The hub's configuration file, hub.yaml.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

# From a flag to the setting that it overrides.
_OVERRIDES = {
    "--http": ("listen.http", "Where to listen for Argo CD, as in 127.0.0.1:4355."),
    "--grpc": ("listen.grpc", "Where to listen for backends."),
    "--admin": ("listen.admin", "Where to listen for operators."),
    "--store": ("store", "memory: or sqlite:PATH."),
    "--deadline": ("deadline", "Time limit for a whole request, as in 25s."),
    "--log-format": ("log.format", "auto, json or human."),
    "--log-level": ("log.level", "debug, info, warning or error."),
}


def override_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add the flags that override settings; the command gets them as ``flags``."""

    @functools.wraps(command)
    def collected(*args: Any, **given: Any) -> R:
        flags = {}
        for flag, (setting, _) in _OVERRIDES.items():
            value = given.pop(_parameter(flag))
            if value is not None:
                flags[setting] = value
        return command(*args, flags=flags, **given)  # type: ignore[arg-type]  # click passes by name.

    decorated: Callable[..., R] = collected
    for flag, (setting, text) in reversed(_OVERRIDES.items()):
        decorated = click.option(flag, _parameter(flag), metavar="VALUE", help=f"{text} Overrides {setting}.")(
            decorated
        )
    return decorated


def _parameter(flag: str) -> str:
    return "override_" + flag.removeprefix("--").replace("-", "_")


def settings_or_exit(source: Source) -> Settings:
    """The settings of a configuration; mistakes go to standard error, one per line, and end the command."""
    try:
        return load(source)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(WRONG_USE) from error


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """The input from ``key=text`` and ``key:=json`` arguments."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            wrong_use(f'"{pair}" is not key=value or key:=json')
        if key.endswith(":"):
            try:
                parameters[key[:-1]] = decoded(value.encode(errors="surrogatepass"), Any)
            except (msgspec.DecodeError, UnicodeError):
                wrong_use(f'the value in "{pair}" is not JSON')
        else:
            parameters[key] = value
    return parameters


def decoded(text: bytes, kind: type[T]) -> T:
    """JSON as a value of a type.

    Raises:
        msgspec.DecodeError: it is not JSON, is nested too deeply, or is of another type.
    """
    check_levels(text)
    return msgspec.json.decode(text, type=kind)


parameters_option = click.option(
    "-p",
    "--parameter",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An input; KEY:=JSON for values other than text. Can be repeated.",
)


def wrong_use(message: str) -> NoReturn:
    """End the command, because it was called wrongly."""
    say(f"error: {message}", err=True)
    raise SystemExit(WRONG_USE)


def failed(*messages: str) -> NoReturn:
    """End the command, because the hub said no; each message is one line."""
    for message in messages:
        say(f"error: {message}", err=True)
    raise SystemExit(NO)


def could_not_find_out(message: str) -> NoReturn:
    """End the command without a yes or a no: the hub cannot be reached, or something else answered."""
    say(f"error: {message}", err=True)
    raise SystemExit(UNKNOWN)
