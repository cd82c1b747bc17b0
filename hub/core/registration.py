"""What an instance must say of itself to be taken, and why it is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from hub.core.directory import MAX_PATTERNS
from hub.core.keys import MAX_KEY_CHARS, MAX_KEYS
from hub.core.nesting import NestedTooDeeply, check_levels
from hub.core.texts import plain

if TYPE_CHECKING:
    from hub.core.directory import BackendInfo, Grant

MAX_TEXT_BYTES = 128
MAX_PATTERN_CHARS = 253
MAX_SCHEMA_BYTES = 256 * 1024

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Code = Literal["INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"]


class RegistrationError(Exception):
    """An instance is turned away; ``code`` is the gRPC status's name, the text is for the backend's author."""

    code: ClassVar[Code]

    def __init__(self, text: str) -> None:
        super().__init__(plain(text))


class Malformed(RegistrationError):
    """The message is not what the contract says."""

    code = "INVALID_ARGUMENT"


class NotGranted(RegistrationError):
    """The configuration does not allow this."""

    code = "PERMISSION_DENIED"


class NotAuthenticated(RegistrationError):
    """There are no valid credentials."""

    code = "UNAUTHENTICATED"


class TooMany(RegistrationError):
    """A limit of this backend is reached."""

    code = "RESOURCE_EXHAUSTED"


class NotNow(RegistrationError):
    """The hub shuts down, or its store fails."""

    code = "UNAVAILABLE"


def is_label(name: str) -> bool:
    """Whether a name is a DNS-1123 label."""
    return _LABEL.fullmatch(name) is not None


def check_info(info: BackendInfo) -> None:
    """Check what an instance says of itself.

    Raises:
        Malformed: a field is missing, too long or not what it should be.
    """
    if not is_label(info.name):
        raise Malformed('backend.name must be a DNS-1123 label, as in "image-digests"')
    if not info.instance:
        raise Malformed("backend.instance is empty; it must identify this process")
    for field, text in (("instance", info.instance), ("version", info.version)):
        if len(text.encode()) > MAX_TEXT_BYTES or not text.isprintable():
            raise Malformed(f"backend.{field} must be at most {MAX_TEXT_BYTES} bytes of printable text")
    _check_patterns(info.application_sets)
    _check_schema(info.input_schema_json)
    _check_keys(info.unique_by)


def _check_patterns(patterns: tuple[str, ...]) -> None:
    if len(patterns) > MAX_PATTERNS:
        raise Malformed(f"backend.application_sets has more than {MAX_PATTERNS} patterns")
    for index, pattern in enumerate(patterns):
        if not pattern or len(pattern) > MAX_PATTERN_CHARS or not pattern.isprintable():
            raise Malformed(f"backend.application_sets[{index}] must be 1 to {MAX_PATTERN_CHARS} printable characters")


def _check_keys(keys: tuple[str, ...]) -> None:
    if len(keys) > MAX_KEYS:
        raise Malformed(f"backend.unique_by has more than {MAX_KEYS} keys")
    for index, key in enumerate(keys):
        if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
            raise Malformed(f"backend.unique_by[{index}] must be 1 to {MAX_KEY_CHARS} printable characters")
        if key in keys[:index]:
            raise Malformed(f'backend.unique_by has the key "{key}" twice')


def _check_schema(schema_json: bytes) -> None:
    if len(schema_json) > MAX_SCHEMA_BYTES:
        raise Malformed(f"backend.input_schema_json has more than {MAX_SCHEMA_BYTES} bytes")
    if not schema_json:
        return
    try:
        check_levels(schema_json)
        schema = msgspec.json.decode(schema_json)
    except NestedTooDeeply as error:
        raise Malformed(f"backend.input_schema_json is {error}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed("backend.input_schema_json is not JSON") from error
    if not isinstance(schema, dict | bool):
        raise Malformed("backend.input_schema_json is not a JSON Schema: expected an object")


def check_grant(info: BackendInfo, grant: Grant | None) -> Grant:
    """The grant of a backend that may register.

    Raises:
        NotGranted: the configuration does not know this backend.
    """
    if grant is None:
        raise NotGranted(f'the hub\'s configuration has no backend "{info.name}"')
    return grant
