"""YAML text to values, each with its line; knows nothing of settings.

YAML as people mean it: a duplicate key is a mistake, a date is text, and so are ``on``, ``off``, ``yes`` and ``no``.
Built from libyaml's events rather than by PyYAML's composer, which recurses without a limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from yaml.constructor import SafeConstructor

from hub.config.syntax import explained

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_DEPTH = 64
MAX_VALUES = 1_000_000  # With aliases expanded.
_MAX_NUMBER_CHARS = 64

_PREFIX = "tag:yaml.org,2002:"
_BOOL, _DATE, _TEXT = f"{_PREFIX}bool", f"{_PREFIX}timestamp", f"{_PREFIX}str"
_NULL, _INT, _FLOAT = f"{_PREFIX}null", f"{_PREFIX}int", f"{_PREFIX}float"
_MAPPING, _LIST = f"{_PREFIX}map", f"{_PREFIX}seq"

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TRUE_OR_FALSE = re.compile(r"^(true|false|True|False|TRUE|FALSE)$")

# From a scalar's first character to the tags it may have, and their forms.
_IMPLICIT = {
    first: [(tag, form) for tag, form in resolvers if tag not in (_BOOL, _DATE)]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
for _first in "tTfF":
    _IMPLICIT.setdefault(_first, []).append((_BOOL, _TRUE_OR_FALSE))

# YAML 1.1 reads 010 as 8 and 1:30 as 90, which is hardly what people mean: without a tag, these are text.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def _decimal(text: str) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(text)
    return int(text.replace("_", ""))


_constructor = SafeConstructor()
_CONSTRUCT = {
    _NULL: lambda _: None,
    _BOOL: _constructor.construct_yaml_bool,
    _INT: lambda node: _decimal(node.value),
    _FLOAT: _constructor.construct_yaml_float,
    _TEXT: lambda node: node.value,
}
_MEANINGS = {_BOOL: "true or false", _INT: "a whole number", _FLOAT: "a number"}

BAD = object()
"""Stands for a value that has been reported as a mistake."""

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""


class BadDocument(Exception):
    """Text that is not usable YAML; ``line`` and ``column`` count from 1."""

    def __init__(self, reason: str, place: Place | None = None) -> None:
        super().__init__(reason)
        self.line = place[0] if place else None
        self.column = place[1] if place else None


class Node:
    """A value with its place. A mapping's value is a dict of nodes, a list's a list of them."""

    __slots__ = ("height", "keys", "place", "size", "value")

    def __init__(self, value: Any, place: Place) -> None:
        self.value = value
        self.place = place
        self.keys: dict[str, Place] = {}
        self.size = 1
        self.height = 1

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def parse(text: str, secret: Collection[str] = ()) -> tuple[Node | None, list[BadDocument]]:
    """The document (``None``: empty), and the mistakes in it that do not hide others: duplicate keys, bad values.

    What is under a ``secret`` key is not repeated in a message.

    Raises:
        BadDocument: it is not YAML, or larger or deeper than any configuration.
    """
    control = _CONTROL.search(text)
    if control is not None:
        before = text[: control.start()]
        place = before.count("\n") + 1, control.start() - before.rfind("\n")
        raise BadDocument(f"the control character U+{ord(control[0]):04X} is not allowed in YAML", place)
    builder = _Builder(secret)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise BadDocument(*explained(error, text, builder.opened_line)) from error
    return builder.root, builder.mistakes


class _Open:
    """A mapping or a list that has not ended."""

    __slots__ = ("key", "key_place", "merged", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key: str | None = None
        self.key_place: Place = node.place
        self.merged: list[Node] = []

    @property
    def wants_key(self) -> bool:
        return isinstance(self.node.value, dict) and self.key is None


class _Builder:
    """Makes nodes of events."""

    def __init__(self, secret: Collection[str]) -> None:
        self._secret = secret
        self.root: Node | None = None
        self.mistakes: list[BadDocument] = []
        self._documents = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}

    @property
    def opened_line(self) -> int:
        """Where the innermost value that has not ended starts."""
        return self._open[-1].node.place[0] if self._open else 1

    def _quoted(self, text: str) -> str:
        """The text in quotes; nothing of it where it may be a secret."""
        return "…" if any(one.key in self._secret for one in self._open) else f'"{text}"'

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._start(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise BadDocument('more than one document: "---" starts a second one', _place(event))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._open and self._open[-1].wants_key:
            self._key(event.value, _place(event), merges=event.implicit[0] and event.value == "<<")
            if event.anchor:
                self._anchors[event.anchor] = Node(event.value, _place(event))
            return
        node = Node(self._value(event), _place(event))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._add(node)

    def _value(self, event: yaml.ScalarEvent) -> Any:
        tag = _tag(event)
        if tag == _TEXT:
            return event.value
        if len(event.value) > _MAX_NUMBER_CHARS and tag in (_INT, _FLOAT):
            return self._bad(event, f"a number with {len(event.value)} characters is too long")
        construct = _CONSTRUCT.get(tag)
        if construct is None:
            return self._bad(event, f"the tag {self._quoted(_short(tag))} is not supported")
        try:
            return construct(yaml.ScalarNode(tag, event.value))  # type: ignore[no-untyped-call]  # PyYAML's constructor.
        except (ValueError, LookupError, OverflowError):
            return self._bad(
                event, f"{self._quoted(event.value[:_MAX_NUMBER_CHARS])} is not {_MEANINGS[tag]} ({_short(tag)})"
            )

    def _bad(self, event: yaml.Event, reason: str) -> object:
        self.mistakes.append(BadDocument(reason, _place(event)))
        return BAD

    def _key(self, key: str, place: Place, *, merges: bool) -> None:
        mapping = self._open[-1]
        first = mapping.node.keys.get(key)
        if first is not None and not merges:
            self.mistakes.append(
                BadDocument(f"duplicate key {self._quoted(key)}; it is also on line {first[0]}", place)
            )
        elif not merges:
            mapping.node.keys[key] = place
        mapping.key, mapping.key_place = key, place

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        place = _place(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._open and self._open[-1].wants_key:
            what = "mapping" if is_mapping else "list"
            raise BadDocument(
                f"a key must be text, not a {what}; quote it, or render the template if this is one ({{{{ … }}}})",
                place,
            )
        if len(self._open) >= MAX_DEPTH:
            raise BadDocument(f"nested deeper than {MAX_DEPTH} levels", place)
        if event.tag not in (None, "!", _MAPPING, _LIST):
            self._bad(event, f"the tag {self._quoted(_short(event.tag))} is not supported")
        node = Node({} if is_mapping else [], place)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._open.append(_Open(node))

    def _end(self) -> None:
        ended = self._open.pop()
        for merged in ended.merged:
            for key, node in merged.value.items():
                if key not in ended.node.value:
                    ended.node.value[key] = node
                    ended.node.keys[key] = merged.keys[key]
        self._add(ended.node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        node = self._anchors.get(str(event.anchor))
        alias, anchor = self._quoted(f"*{event.anchor}"), self._quoted(f"&{event.anchor}")
        if node is None:
            raise BadDocument(f"the alias {alias} has no anchor {anchor} before it", _place(event))
        if any(one.node is node for one in self._open):
            raise BadDocument(f"the alias {alias} refers to a value that contains it", _place(event))
        if self._open and self._open[-1].wants_key:
            if not isinstance(node.value, str):
                raise BadDocument("a key must be text", _place(event))
            self._key(node.value, _place(event), merges=False)
        else:
            self._add(node)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        self._grow(parent.node, node)
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
            return
        key, parent.key = parent.key, None
        if key == "<<" and "<<" not in parent.node.keys:
            parent.merged += self._merged(node)
        else:
            parent.node.value.setdefault(key, node)

    def _grow(self, parent: Node, child: Node) -> None:
        parent.size += child.size
        parent.height = max(parent.height, child.height + 1)
        if parent.size > MAX_VALUES:
            raise BadDocument(f"more than {MAX_VALUES} values after aliases are expanded", parent.place)
        if len(self._open) + child.height > MAX_DEPTH:
            raise BadDocument(f"nested deeper than {MAX_DEPTH} levels", parent.place)

    def _merged(self, node: Node) -> list[Node]:
        found = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(one.value, dict) for one in found):
            raise BadDocument('"<<" merges a mapping or a list of mappings', node.place)
        return found


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    assert mark is not None  # noqa: S101 - libyaml marks every event.
    return mark.line + 1, mark.column + 1


def _tag(event: yaml.ScalarEvent) -> str:
    """The tag that is written, or that the form of a plain scalar implies."""
    if event.tag not in (None, "!"):
        return str(event.tag)
    if event.tag == "!" or not event.implicit[0]:
        return _TEXT
    for tag, form in _IMPLICIT.get(event.value[:1], ()):
        if form.match(event.value):
            return _TEXT if tag == _INT and _DECIMAL.fullmatch(event.value) is None else str(tag)
    return _TEXT


def _short(tag: str) -> str:
    return tag.replace(_PREFIX, "!!")
