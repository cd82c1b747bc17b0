"""Every way in which values differ from the declared shape, where the decoder stops at the first.

Works on the structs of ``hub.config.file``, and knows no setting of its own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from hub.config.document import BAD
from hub.config.suggestions import did_you_mean, suggestion

if TYPE_CHECKING:
    from hub.config.places import At, Findings

_MAX_SHOWN_CHARS = 60


class Examination:
    """One pass over the values of a file."""

    def __init__(self, findings: Findings, elsewhere: dict[str, str]) -> None:
        """``elsewhere`` goes from the last part of a path to the whole, for keys in the wrong section."""
        self._findings = findings
        self._elsewhere = elsewhere

    def struct(self, value: Any, struct: type[msgspec.Struct]) -> Any:
        """The struct that the value describes; what is bad in it is reported, and left at a default or empty."""
        info = inspect.type_info(struct)
        assert isinstance(info, inspect.StructType)  # noqa: S101 - that is what it is for a struct.
        return self._struct(value, info, ())

    def _any(self, value: Any, kind: inspect.Type, at: At) -> Any:
        bare, expected = _bare(kind), _expected(kind)
        if value is BAD:
            return self._refuse(at, bare)
        if isinstance(bare, inspect.UnionType):
            return self._union(value, bare, expected, at)
        if isinstance(bare, inspect.StructType):
            return self._struct(value, bare, at)
        if isinstance(bare, inspect.ListType):
            return self._list(value, bare, expected, at)
        if isinstance(bare, inspect.DictType):
            return self._dict(value, bare, expected, at)
        reason = _scalar_reason(value, bare, expected)
        if reason is not None and _is_secret(kind):
            reason = f"expected {expected}, got {_got(value, kind)}"
        return value if reason is None else self._refuse(at, bare, reason + _note(kind, value))

    def _refuse(self, at: At, kind: inspect.Type, reason: str | None = None) -> Any:
        if reason is not None:
            self._findings.wrong(at, reason)
        self._findings.bad(at)
        return _empty(kind)

    def _union(self, value: Any, kind: inspect.UnionType, expected: str, at: At) -> Any:
        if value is None and kind.includes_none:
            return None
        wants = inspect.StructType if isinstance(value, dict) else (inspect.LiteralType, inspect.StrType)
        fitting = [one for one in kind.types if isinstance(_bare(one), wants)]
        others = [one for one in kind.types if not isinstance(_bare(one), inspect.NoneType)]
        if len(others) == 1:
            return self._any(value, others[0], at)
        if isinstance(value, dict) and fitting:
            return self._any(value, fitting[0], at)
        if fitting and _scalar_reason(value, _bare(fitting[0]), "") is None:
            return value
        reason = f"expected {expected}, got {_got(value, _bare(others[0]))}{_meant(value, fitting)}"
        return self._refuse(at, _bare(others[0]), reason)

    def _struct(self, value: Any, kind: inspect.StructType, at: At) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, kind, f"expected {_expected(kind)}, got {_got(value, kind)}{_hint(kind)}")
        meant = self._unknown_keys(value, kind, at)
        values = {}
        for field in kind.fields:
            if field.name in value:
                values[field.name] = self._field(value[field.name], field, (*at, field.name))
            elif field.required:
                values[field.name] = _empty(_bare(field.type))
                if field.name not in meant:
                    self._findings.wrong((*at, field.name), f"is required: {_expected(field.type)}")
                self._findings.bad((*at, field.name))
        return kind.cls(**values)

    def _field(self, value: Any, field: inspect.Field, at: At) -> Any:
        found = self._any(value, field.type, at)
        if not field.required and self._findings.is_bad(at):
            return field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        return found

    def _unknown_keys(self, value: dict[str, Any], kind: inspect.StructType, at: At) -> set[str]:
        """Report them; returns the keys that were probably meant."""
        known = [field.name for field in kind.fields]
        meant = set()
        for key, item in value.items():
            if key in known:
                continue
            guess = suggestion(key, [one for one in known if one not in value])
            if guess is None and key not in self._elsewhere:
                guess = suggestion(key, known)
            hidden = _hides_keys(kind) or (_is_secret(kind) and guess is None and item is None)
            self._findings.wrong(at if hidden else (*at, key), self._unknown_key(key, guess, kind))
            found = guess or (known[0] if len(known) == 1 else None)
            if found is not None and found not in value:
                meant.add(found)
                self._findings.bad((*at, found))
        return meant

    def _unknown_key(self, key: str, guess: str | None, kind: inspect.StructType) -> str:
        if guess is not None:
            return f'unknown key; did you mean "{guess}"?'
        if key in self._elsewhere:
            return f'unknown key here; did you mean "{self._elsewhere[key]}"?'
        if form := getattr(kind.cls, "form", ""):
            return f"unknown key; expected {form}{_hint(kind)}"
        return f"unknown key; allowed are {', '.join(field.name for field in kind.fields)}"

    def _list(self, value: Any, kind: inspect.ListType, expected: str, at: At) -> Any:
        if not isinstance(value, list):
            item = _bare(kind.item_type)
            return self._refuse(at, kind, f"expected {expected}, got {_got(value, item)}{_hint(item)}")
        if kind.min_length and len(value) < kind.min_length:
            return self._refuse(at, kind, f"is empty; expected {expected}")
        return [self._any(item, kind.item_type, (*at, index)) for index, item in enumerate(value)]

    def _dict(self, value: Any, kind: inspect.DictType, expected: str, at: At) -> Any:
        if not isinstance(value, dict):
            return self._refuse(at, kind, f"expected {expected}, got {_got(value)}")
        return {key: self._any(item, kind.value_type, (*at, key)) for key, item in value.items()}


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _is_secret(kind: inspect.Type | None) -> bool:
    """Whether there may be a secret by mistake, so that no message repeats what is there."""
    if isinstance(kind, inspect.Metadata):
        return bool((kind.extra or {}).get("secret")) or _is_secret(kind.type)
    return isinstance(kind, inspect.StructType) and bool(getattr(kind.cls, "secret", False))


def _hides_keys(kind: inspect.StructType) -> bool:
    return bool(getattr(kind.cls, "secret_keys", False))


def _expected(kind: inspect.Type) -> str:
    """What may stand there, after the word "expected"."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra or {}).get("expected") or _expected(kind.type))
    if isinstance(kind, (inspect.UnionType, inspect.LiteralType)):
        return _either(_alternatives(kind))
    if isinstance(kind, inspect.ListType):
        return _expected_list(kind.item_type)
    if isinstance(kind, inspect.StructType):
        return getattr(kind.cls, "form", "") or f"a mapping with {', '.join(field.name for field in kind.fields)}"
    return {inspect.StrType: "text", inspect.IntType: "a whole number"}.get(type(kind), "a mapping")


def _expected_list(item: inspect.Type) -> str:
    examples = (item.extra_json_schema or {}).get("examples") if isinstance(item, inspect.Metadata) else None
    return f'a list such as ["{examples[0]}"]' if examples else f"a list of {_expected(item)}"


def _alternatives(kind: inspect.Type) -> list[str]:
    if isinstance(kind, inspect.UnionType):
        return [word for one in kind.types if not isinstance(one, inspect.NoneType) for word in _alternatives(one)]
    return [f'"{value}"' for value in kind.values] if isinstance(kind, inspect.LiteralType) else [_expected(kind)]


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _note(kind: inspect.Type, value: Any) -> str:
    """What else is to be known of a kind of text."""
    note = (kind.extra or {}).get("note") if isinstance(kind, inspect.Metadata) else None
    return f"; {note}" if note and isinstance(value, str) else ""


def _hint(kind: inspect.Type) -> str:
    hint = getattr(kind.cls, "hint", "") if isinstance(kind, inspect.StructType) else ""
    return f"; {hint}" if hint else ""


def _meant(value: Any, literals: list[inspect.Type]) -> str:
    options = [option for one in literals if isinstance(one, inspect.LiteralType) for option in one.values]
    return did_you_mean(value, map(str, options)) if isinstance(value, str) else ""


def _scalar_reason(value: Any, kind: inspect.Type, expected: str) -> str | None:
    """Why a text, a number or a word is refused; ``None`` if it is fine."""
    if isinstance(kind, inspect.LiteralType):
        fits = isinstance(value, str) and value in kind.values
        return None if fits else f"expected {expected}, got {_got(value, kind)}{_meant(value, [kind])}"
    if isinstance(kind, inspect.IntType):
        return _number_reason(value, kind, expected)
    if isinstance(kind, inspect.BoolType):
        return None if isinstance(value, bool) else f"expected {expected}, got {_got(value)}"
    assert isinstance(kind, inspect.StrType)  # noqa: S101 - the file declares no other kind.
    return (
        None if isinstance(value, str) and _text_fits(value, kind) else f"expected {expected}, got {_got(value, kind)}"
    )


def _text_fits(value: str, kind: inspect.StrType) -> bool:
    return (
        (kind.pattern is None or re.search(kind.pattern, value) is not None)
        and (kind.min_length is None or len(value) >= kind.min_length)
        and (kind.max_length is None or len(value) <= kind.max_length)
    )


def _number_reason(value: Any, kind: inspect.IntType, expected: str) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number:
        return f"expected {expected}, got {_got(value)}"
    if kind.ge is not None and value < kind.ge:
        return f"must be greater than zero, got {value}"
    if kind.le is not None and value > kind.le:
        return f"must be at most {kind.le}"
    return None


def _got(value: Any, wanted: inspect.Type | None = None) -> str:
    """What was found there instead; never a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return "a number" if _is_secret(wanted) else f"the number {_cut(str(value))}"
    if isinstance(value, str):
        if value and _is_secret(wanted):
            return "text"
        shown = _cut(json.dumps(value, ensure_ascii=False))
        return shown if isinstance(wanted, (inspect.StrType, inspect.LiteralType)) else f"the text {shown}"
    return "a list" if isinstance(value, list) else "a mapping"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"


def _empty(kind: inspect.Type) -> Any:
    """Something of a kind, for a value that is missing or bad."""
    if isinstance(kind, inspect.ListType):
        return []
    if isinstance(kind, inspect.DictType):
        return {}
    if isinstance(kind, inspect.IntType):
        return 1
    if isinstance(kind, inspect.BoolType):
        return False
    if isinstance(kind, inspect.StructType):
        return kind.cls(**{field.name: _empty(_bare(field.type)) for field in kind.fields if field.required})
    return str(kind.values[0]) if isinstance(kind, inspect.LiteralType) else ""
