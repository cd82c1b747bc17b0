"""Whether PEM files hold what they should: certificates, their key, and a time that has not passed.

OpenSSL judges; this only says which file is at fault, and why, in words.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17
_BEFORE_VALIDITY = 3  # Serial number, algorithm and issuer.
_LONG_FORM = 0x80


def certificate_fault(data: bytes) -> str | None:
    """Why the content of a file is not usable as certificates."""
    if _CERTIFICATE not in data:
        return "this file holds a private key, not a certificate" if _KEY in data else "not a PEM certificate"
    try:
        ssl.create_default_context(cadata=data.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        return "not a valid PEM certificate"
    return None


def key_fault(data: bytes) -> str | None:
    """Why the content of a file is not usable as a private key."""
    if any(mark in data for mark in _ENCRYPTED):
        return "the private key is encrypted; the hub needs one without a passphrase"
    if _KEY not in data:
        return "this file holds a certificate, not a private key" if _CERTIFICATE in data else "not a PEM private key"
    return None


def pair_fault(certificate: Path, key: Path) -> str | None:
    """Why a certificate and a key, each fine by itself, do not go together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "private key does not match the certificate"
        if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
            return "the certificate's key or signature is too weak"
        return "not a valid PEM private key"
    return None


def expiry(data: bytes) -> float | None:
    """When the first of the certificates in a file expires, in Unix seconds; ``None`` if there is none."""
    return min((until_s for _, until_s in _validities(data)), default=None)


def expiry_doubt(data: bytes, now_s: float | None = None) -> str | None:
    """What is wrong with the validity of the certificate at the top of a file, at a time (default: now)."""
    found = next(_validities(data), None)
    if found is None:
        return None
    since_s, until_s = found
    now_s = time.time() if now_s is None else now_s
    if until_s < now_s:
        return f"the certificate expired on {_day(until_s)}"
    return f"the certificate is not valid before {_day(since_s)}" if since_s > now_s else None


def _validities(data: bytes) -> Iterator[tuple[float, float]]:
    """From and until when each certificate in a file is valid, as far as they can be read."""
    with suppress(ValueError, IndexError):
        for part in data.split(_CERTIFICATE)[1:]:
            text = _CERTIFICATE + part[: part.index(_END)] + _END
            yield _validity(ssl.PEM_cert_to_DER_cert(text.decode("ascii")))


def _day(at_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_s))


def _validity(der: bytes) -> tuple[float, float]:
    """From and until when a certificate is valid: RFC 5280, section 4.1."""
    whole, _ = _value(der, _SEQUENCE)
    rest, _ = _value(whole, _SEQUENCE)
    if rest[0] == _VERSION:
        _, rest = _value(rest)
    for _ in range(_BEFORE_VALIDITY):
        _, rest = _value(rest)
    times, _ = _value(rest, _SEQUENCE)
    since_tag, until_tag = times[0], times[times[1] + 2]
    since, more = _value(times)
    until, _ = _value(more)
    return _seconds(since_tag, since), _seconds(until_tag, until)


def _value(der: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    if tag is not None and der[0] != tag:
        raise ValueError(der[:1])
    length, start = der[1], 2
    if length & _LONG_FORM:
        start += length & ~_LONG_FORM
        length = int.from_bytes(der[2:start], "big")
    return der[start : start + length], der[start + length :]


def _seconds(tag: int, text: bytes) -> float:
    shown = text.decode("ascii")
    if tag == _UTC_TIME:  # Two digits of the year: from 1950 to 2049.
        shown = ("19" if shown[:2] >= "50" else "20") + shown
    return float(
        ssl.cert_time_to_seconds(time.strftime("%b %d %H:%M:%S %Y GMT", time.strptime(shown, "%Y%m%d%H%M%SZ")))
    )
