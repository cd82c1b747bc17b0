"""A backend's files: its token and its certificates, and what is wrong with them.

No message shows the content of a file.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from appset_hub.errors import InvalidSettings

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = b"PRIVATE KEY-----"


def read_file(path: str | Path, key: str) -> bytes:
    """Return what is in the file that the setting `key` names.

    Raises:
        InvalidSettings: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except TypeError as error:
        raise InvalidSettings(f"{key}: expected the path of a file, got {type(path).__name__}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        where = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
        raise InvalidSettings(f'{key}: cannot read "{path}"{where}: {reason}') from error


def read_token(path: str | Path) -> str:
    """Return the token in the file, without the white space around it.

    Raises:
        InvalidSettings: the file cannot be read, or holds something else.
    """
    token = read_file(path, "token_file").decode("ascii", "replace").strip()
    problem = _token_problem(token)
    if problem:
        raise InvalidSettings(
            f'token_file: "{path}" holds no token: {problem}; expected one word of printable ASCII on one line'
        )
    return token


def _token_problem(token: str) -> str:
    if not token:
        return "it is empty"
    if (lines := len(token.splitlines())) > 1:
        return f"it has {lines} lines"
    if any(character.isspace() for character in token):
        return "it has a space inside"
    return (
        ""
        if all("!" <= character <= "~" for character in token)
        else "it has characters that HTTP headers cannot carry"
    )


def check_authorities(path: str | Path, key: str) -> None:
    """Check that the file holds certificates that can be trusted.

    Raises:
        InvalidSettings: it does not.
    """
    _check_certificate(path, key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise InvalidSettings(f'{key}: "{path}" holds a certificate that cannot be read{_reason(error)}') from error


def check_pair(cert_file: str | Path, key_file: str | Path) -> None:
    """Check that the files hold a certificate and its private key.

    Raises:
        InvalidSettings: they do not.
    """
    _check_certificate(cert_file, "cert_file")
    key = read_file(key_file, "key_file")
    if _PRIVATE_KEY not in key:
        raise InvalidSettings(
            f'key_file: "{key_file}" holds no private key in PEM form ("-----BEGIN PRIVATE KEY-----")'
        )
    if b"ENCRYPTED" in key:
        raise InvalidSettings(f'key_file: the key in "{key_file}" is encrypted; expected one without a passphrase')
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidSettings(
                f'key_file: the key in "{key_file}" does not belong to the certificate in "{cert_file}"'
            ) from error
        if "TOO_" not in (error.reason or ""):  # Too small or too weak for OpenSSL's taste: gRPC decides.
            raise InvalidSettings(
                f'cert_file, key_file: "{cert_file}" and "{key_file}" cannot be used{_reason(error)}'
            ) from error


def _check_certificate(path: str | Path, key: str) -> None:
    content = read_file(path, key)
    if _CERTIFICATE in content:
        return
    found = "it holds a private key" if _PRIVATE_KEY in content else "it is empty" if not content.strip() else ""
    raise InvalidSettings(
        f'{key}: "{path}" holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----")'
        + (f": {found}" if found else "")
    )


def _reason(error: ssl.SSLError) -> str:
    return f": {error.reason.replace('_', ' ').lower()}" if error.reason else ""
