"""What Argo CD's two kinds of templates write for a parameter set, once it is decoded.

With ``goTemplate`` a set is nested as it came; without, it is flattened with dots first.
"""

from __future__ import annotations

from typing import Any

_EXPONENT_FROM = 6
_EXPONENT_BELOW = -4
_MOST_STEPS = 6  # As deep as the recording looks.


def with_go_template(one: dict[str, Any] | None) -> dict[str, str]:
    """What ``{{ index . "a" "b" }}`` writes, by path."""
    return _paths(one or {}, ())


def _paths(mapping: dict[str, Any], steps: tuple[str, ...]) -> dict[str, str]:
    made: dict[str, str] = {}
    for key, value in mapping.items():
        path = (*steps, key)
        made[".".join(path)] = "<no value>" if value is None else printed(value)
        if isinstance(value, dict) and len(path) < _MOST_STEPS:
            made.update(_paths(value, path))
    return made


def without(one: dict[str, Any] | None) -> dict[str, list[str]]:
    """What ``{{a.b}}`` may write, by path: where two values have one path, it is any of them."""
    made: dict[str, list[str]] = {}
    for path, value in _leaves(one or {}, ""):
        made.setdefault(path, []).append(printed(value) if path else "{{}}")
    return made


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    """The flattened set: empty maps and lists are nowhere in it."""
    made: list[tuple[str, Any]] = []
    waiting: list[tuple[str, Any, bool]] = [(path, value, True)]
    while waiting:
        at, one, outermost = waiting.pop()
        if not isinstance(one, dict | list):
            made.append((at, one))
            continue
        inner = one.items() if isinstance(one, dict) else enumerate(one)
        waiting.extend((str(key) if outermost else f"{at}.{key}", item, False) for key, item in inner)
    return made


def printed(value: Any) -> str:
    """Go's ``%v`` of a decoded value."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list):
        return "[" + " ".join([printed(one) for one in value]) + "]"
    return "map[" + " ".join([f"{key}:{printed(value[key])}" for key in sorted(value)]) + "]"


def _float(value: float) -> str:
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return f"{sign}0"
    # The value is 0.DIGITS times ten to this.
    point = int(exponent or 0) + (len(whole) if whole.strip("0") else len(digits) - len(fraction))
    digits = digits.rstrip("0")
    if not _EXPONENT_BELOW <= point - 1 < _EXPONENT_FROM:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if point - 1 < 0 else '+'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return f"{sign}{digits.ljust(point, '0')}"
    return f"{sign}{digits[:point]}.{digits[point:]}"
