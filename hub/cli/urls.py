"""The URL of a hub as people write it: whether it can work, and what to change. Pure.

Stricter than ``urlsplit``, which drops line breaks and accepts any host: what is taken here also works in Argo CD.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from hub.core.question import GETPARAMS

_MAX_PORT = 65535
_MAX_HOST_CHARS = 254  # With a dot at the end.

_SHAPE = re.compile(
    r"""
    (?i:https?)://
    (?:(?P<user>[^/?#]*)@)?
    (?:\[(?P<address>[^\]@/?#]+)\]|(?P<host>[^\[\]:@/?#]+))
    (?::(?P<port>[^@/?#]*))?
    (?P<path>/[^?#]*)?
    (?P<rest>.*)
    """,
    re.VERBOSE,
)
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?")


def hub_url(text: str, example: str) -> SplitResult:
    """The parts of a URL that names a hub.

    Raises:
        ValueError: no hub can be reached by it; the text says what is wrong, and repeats no password.
    """
    found = _SHAPE.fullmatch(text) if text.isascii() and text.isprintable() and " " not in text else None
    problem = "" if found is None else _problem(found)
    if found is None or problem:
        # What stands before an @ may be a password.
        what = "the URL" if "@" in text else f'"{text}"'
        why = f": {problem}" if problem else ""
        raise ValueError(f"{what} is not a usable URL{why}; expected one such as {example}")
    return urlsplit(text)


def _problem(found: re.Match[str]) -> str:
    port, host = found["port"], found["host"] or ""
    if found["user"] is not None:
        return "leave out the user name and password"
    if found["address"] and not _is_ipv6(found["address"]):
        return f'"[{found["address"]}]" is not an IPv6 address'
    if not found["address"] and (len(host) > _MAX_HOST_CHARS or not _HOST.fullmatch(host)):
        return f'"{host}" is not a host name'
    if port is not None and not _is_port(port):
        return f'"{port}" is not a port between 1 and {_MAX_PORT}'
    return _path_problem(found["path"] or "", found["rest"])


def _path_problem(path: str, rest: str) -> str:
    if rest:
        return f'leave out "{rest}"'
    if not _PATH.fullmatch(path):
        return f'the path "{path}" has a character that must be percent-encoded'
    if path.rstrip("/").endswith(GETPARAMS):
        return f'leave out "{GETPARAMS}", which is added to every baseUrl'
    return ""


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(_MAX_PORT)) and 1 <= int(text) <= _MAX_PORT


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
