"""Reads ``hub.yaml`` and what overrides it: flags over environment over file over default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import msgspec

from hub.config.document import BadDocument, Node, parse
from hub.config.examine import Examination
from hub.config.file import File
from hub.config.files import CannotRead, digest, read_file
from hub.config.mistakes import ConfigurationError, Mistake
from hub.config.places import At, Findings, Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX = "HUB_"

MAX_FILE_BYTES = 4 * 1024 * 1024

MINIMAL = "clients: [{name: argocd, tokens: [{file: argocd.token}]}]"

_SECRET = ("tokens", "token", "call_token", "admin", "key")  # Under which a secret may be written by mistake.

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as it is written. What ``findings`` calls bad is empty or a default in ``file``."""

    file: File
    findings: Findings
    digest: str = ""
    is_empty: bool = False


def read(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> File:
    """The configuration as it is written, with all overrides.

    Args:
        path: of the file; ``None`` for none.
        environment: where ``HUB_LISTEN_HTTP`` overrides ``listen.http``, and so on.
        flags: from a path such as ``listen.http`` to its value.

    Raises:
        ConfigurationError: with all mistakes in the shape of the file.
    """
    written = examined(path, environment, flags)
    if written.findings.errors:
        raise ConfigurationError(written.findings.sorted_errors())
    return written.file


def examined(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> Written:
    """As ``read``, but with the mistakes in what it returns.

    Raises:
        ConfigurationError: the file cannot be read at all, or is not YAML.
    """
    data = b"" if path is None else _data(path)
    root, bad = (None, []) if path is None else _parsed(path, data)
    plain: dict[str, Any] = {} if root is None or root.value is None else root.plain()
    overrides: dict[At, str] = {}
    for setting in scalars():
        name = variable_name(setting.path)
        if name in environment:
            _override(plain, setting, environment[name], name, overrides)
        if setting.path in flags:
            _override(plain, setting, flags[setting.path], flag_name(setting.path), overrides)
    findings = Findings(Places(str(path or ""), root, overrides))
    findings.errors += [_in_document(path, one) for one in bad]
    return Written(
        file=_file(plain, findings),
        findings=findings,
        digest=digest(data),
        is_empty=root is None or root.value is None,
    )


def _parsed(path: Path, data: bytes) -> tuple[Node | None, list[BadDocument]]:
    try:
        root, bad = parse(_text(path, data), _SECRET)
    except BadDocument as error:
        raise ConfigurationError([_in_document(path, error)]) from error
    if root is not None and root.value is not None and not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else "a single value"
        reason = f"expected a mapping of settings, got {what}; a minimal file is: {MINIMAL}"
        raise ConfigurationError([_in_document(path, BadDocument(reason, root.place))])
    return root, bad


def _in_document(path: Path | None, error: BadDocument) -> Mistake:
    return Mistake(path="", reason=str(error), file=str(path), line=error.line, column=error.column)


def _data(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES)
    except CannotRead as error:
        raise ConfigurationError([Mistake(path="", reason=f"cannot read the file: {error}", file=str(path))]) from error


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError([_in_document(path, _not_utf_8(data, error.start))]) from error


def _not_utf_8(data: bytes, start: int) -> BadDocument:
    if data[:2] in _UTF_16:
        return BadDocument("the file is UTF-16; save it as UTF-8")
    before = data[:start]
    line_start = before.rfind(b"\n") + 1
    place = before.count(b"\n") + 1, len(before[line_start:].decode("utf-8", "replace")) + 1
    return BadDocument(f"the file is not UTF-8: byte 0x{data[start]:02x}; save it as UTF-8", place)


def _file(data: dict[str, Any], findings: Findings) -> File:
    try:
        return msgspec.convert(data, File)
    except msgspec.ValidationError as error:
        found: File = Examination(findings, _elsewhere()).struct(data, File)
        if not findings.errors:
            findings.errors.append(Mistake(path="", reason=str(error)))
        return found


def _elsewhere() -> dict[str, str]:
    """From the last part of a plain setting's path to the whole, where that is unambiguous and not at the top."""
    inner = [setting.path for setting in scalars() if "." in setting.path]
    last = [path.rpartition(".")[2] for path in inner]
    return {key: path for key, path in zip(last, inner, strict=True) if last.count(key) == 1}


class Scalar(msgspec.Struct, frozen=True):
    """A setting that environment and flags can override: its path, and whether it is a number."""

    path: str
    is_number: bool


def scalars() -> Iterator[Scalar]:
    """Every setting that is one text or one number."""
    return _scalars(File, "")


def _scalars(struct: type[msgspec.Struct], prefix: str) -> Iterator[Scalar]:
    hints = get_type_hints(struct)
    for name in struct.__struct_fields__:
        hint, path = hints[name], f"{prefix}{name}"
        kinds = () if get_origin(hint) is list else get_args(hint) or (hint,)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _scalars(hint, f"{path}.")
        elif str in kinds or int in kinds or (kinds and all(isinstance(kind, str) for kind in kinds)):
            yield Scalar(path, int in kinds)


def variable_name(path: str) -> str:
    """The variable that overrides a setting: ``HUB_LISTEN_HTTP`` for ``listen.http``."""
    return ENVIRONMENT_PREFIX + path.replace(".", "_").upper()


def flag_name(path: str) -> str:
    """The flag that overrides a setting: ``--http`` for ``listen.http``, ``--log-level`` for ``log.level``."""
    return "--" + path.removeprefix("listen.").replace(".", "-")


def _override(data: dict[str, Any], setting: Scalar, value: str, source: str, overrides: dict[At, str]) -> None:
    *parents, last = setting.path.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            return  # Which is reported as what it is: a mapping of the file that is not one.
    if isinstance(data.get(last), dict):
        # Of a mapping that may be a text as well, the text is the address: the rest must not get lost with it.
        data, parents, last = data[last], [*parents, last], "url"
    is_number = setting.is_number and re.fullmatch("[0-9]{1,18}", value)
    data[last] = int(value) if is_number else value
    overrides[*parents, last] = source
