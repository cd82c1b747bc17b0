"""Reads YAML and JSON files as the JSON values that they look like.

YAML turns more into values than its writers expect: dates, `on` and `no`, `1:30`, `0123`, `1.10`. Here a plain scalar
is true, false, null (also `~` and nothing) or a plain decimal number, and text otherwise; what would lose digits as a
number is refused. So are repeated keys, of which all but the last would vanish without a word.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from backends.mistakes import Mistake
from backends.nesting import MAX_LEVELS, check_yaml, is_deeper
from backends.pairs import first_repeated

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")


class _JsonLoader(yaml.CSafeLoader):
    """Constructs JSON values only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way.

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature.
        """Refuse keys that are repeated or no text. Merged ones (`<<`) may be written again."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                _refuse(key_node, "a key must be text")
            if key_node.value in seen:
                _refuse(key_node, f'the key "{key_node.value}" is there twice')
            seen.add(key_node.value)
            # In JSON a key is text, whatever it looks like.
            key_node.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _decimal(loader: _JsonLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    if not _FLOAT.match(text):
        _refuse(node, f"{text} is no plain decimal number")
    number = float(text)
    if repr(number) != text:
        _refuse(node, f'the number {text} would become {number!r}; write "{text}" to keep it as text')
    return number


def _integer(loader: _JsonLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if not _INT.match(text):
        _refuse(node, f"{text} is no plain decimal number")
    try:
        return int(text)
    except ValueError:
        _refuse(node, "the integer has too many digits; quote it to keep it as text")


def _unknown(_loader: _JsonLoader, node: yaml.Node) -> NoReturn:
    _refuse(node, f"{node.tag} is nothing that JSON has")


def _refuse(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-0123456789"))
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-0123456789"))
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
_JsonLoader.add_constructor("tag:yaml.org,2002:float", _decimal)
_JsonLoader.add_constructor("tag:yaml.org,2002:int", _integer)
for _tag in ("timestamp", "binary", "set", "omap", "pairs"):
    _JsonLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _unknown)


def parse_document(content: bytes, path: Path) -> Any:
    """Return what the file at `path` says; `content` is what is in it.

    Raises:
        Mistake: it cannot be read as JSON values; the message says where.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Mistake(path, f"byte {error.start} is not UTF-8") from error
    if path.suffix != ".json":
        return _parse_yaml(text, path)
    if is_deeper(content):
        raise Mistake(path, f"nested deeper than {MAX_LEVELS} levels")
    return _parse_json(text, path)


def _parse_yaml(text: str, path: Path) -> Any:
    try:
        check_yaml(text)
        return yaml.load(text, _JsonLoader)  # noqa: S506 - a safe loader, made safer.
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise Mistake(path, place + (error.problem or "no YAML")) from error
    except yaml.YAMLError as error:
        raise Mistake(path, " ".join(str(error).split())) from error


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise Mistake(path, f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise Mistake(path, str(error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError(f'the key "{first_repeated(pairs)}" is there twice')
    return result


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is nothing that JSON has")
