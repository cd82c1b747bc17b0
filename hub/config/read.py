"""Reads ``hub.yaml`` and what overrides it: flags over environment over file over default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import yaml

from hub.config.file import DURATION_PATTERN, NAME_PATTERN, PERCENT_PATTERN, File
from hub.config.mistakes import ConfigurationError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX = "HUB_"

_MAX_LEVELS = 32

_AT = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`$", re.DOTALL)


_BOOL = "tag:yaml.org,2002:bool"
_DATE = "tag:yaml.org,2002:timestamp"


_MEANINGS = {
    DURATION_PATTERN: "expected a duration, as in 500ms, 25s or 30m",
    PERCENT_PATTERN: "expected a percentage, as in 50%",
    NAME_PATTERN: "expected a DNS-1123 label: lower case letters, digits and hyphens",
}


class _Loader(yaml.CSafeLoader):
    """YAML as people mean it: no key twice, a date is a text, and so are ``on``, ``off``, ``yes`` and ``no``."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to change it.
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _DATE)]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(true|false|True|False|TRUE|FALSE)$"), list("tTfF"))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem=f"a key must be a text, in line {line}")
        if key_node.value in seen:
            raise yaml.MarkedYAMLError(problem=f'key "{key_node.value}" is there twice, again in line {line}')
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> File:
    """The configuration as it is written, with all overrides.

    Args:
        path: of the file; ``None`` for none.
        environment: where ``HUB_LISTEN_HTTP`` overrides ``listen.http``, and so on.
        flags: from a path such as ``listen.http`` to its value.

    Raises:
        ConfigurationError: the file is not as it should be, or a key in it is not known.
    """
    data = {} if path is None else _load(path)
    for setting in scalars():
        name = ENVIRONMENT_PREFIX + setting.path.replace(".", "_").upper()
        if name in environment:
            _override(data, setting, environment[name], name)
        if setting.path in flags:
            _override(data, setting, flags[setting.path], f"--{setting.path}")
    try:
        return msgspec.convert(data, File)
    except msgspec.ValidationError as error:
        raise ConfigurationError([_mistake(str(error))]) from error


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        _check_levels(text)
        data = yaml.load(text, _Loader)  # noqa: S506 - a subclass of the safe loader.
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError([Mistake(str(path), f"cannot read it: {reason}")]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([Mistake(str(path), f"not YAML: {_yaml_reason(error)}")]) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError([Mistake(str(path), "expected a mapping of settings")])
    return data


def _check_levels(text: str) -> None:
    """Refuse what no setting is like: libyaml's composer recurses, and would end the process."""
    level = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        if level > _MAX_LEVELS:
            line = event.start_mark.line + 1  # type: ignore[union-attr]  # an event that starts something has one.
            raise yaml.YAMLError(f"nested deeper than {_MAX_LEVELS} levels, in line {line}")


def _yaml_reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        return f"{error.problem}" + (f" in line {mark.line + 1}" if mark is not None else "")
    return str(error).splitlines()[0]


def _mistake(text: str) -> Mistake:
    found = _AT.match(text)
    assert found is not None  # noqa: S101 - the pattern matches any text.
    path = (found["path"] or "").removeprefix("$").removeprefix(".")
    reason = found["reason"]
    unknown = _UNKNOWN.match(reason)
    if unknown:
        return Mistake(f"{path}.{unknown['key']}" if path else unknown["key"], "there is no such setting")
    missing = re.match(r"Object missing required field `(.*)`$", reason)
    if missing:
        return Mistake(f"{path}.{missing[1]}" if path else missing[1], "is missing")
    for pattern, meaning in _MEANINGS.items():
        if repr(pattern) in reason:
            return Mistake(path, meaning)
    return Mistake(path, reason[:1].lower() + reason[1:].replace("`", '"'))


class Scalar(msgspec.Struct, frozen=True):
    """A setting that environment and flags can override: its path, and whether it is a number."""

    path: str
    is_number: bool


def scalars() -> Iterator[Scalar]:
    """Every setting that is one text or one number."""
    return _scalars(File, "")


def _scalars(struct: type[msgspec.Struct], prefix: str) -> Iterator[Scalar]:
    for name, hint in get_type_hints(struct).items():
        path = f"{prefix}{name}"
        kinds = get_args(hint) or (hint,)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _scalars(hint, f"{path}.")
        elif hint in (str, int) or all(isinstance(kind, str) for kind in kinds):
            yield Scalar(path, hint is int)


def _override(data: dict[str, Any], setting: Scalar, value: str, source: str) -> None:
    *parents, last = setting.path.split(".")
    for parent in parents:
        inner = data.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigurationError([Mistake(parent, "expected a mapping of settings")])
        data = inner
    if setting.is_number:
        try:
            data[last] = int(value)
        except ValueError as error:
            raise ConfigurationError([Mistake(source, "expected a whole number")]) from error
    else:
        data[last] = value
