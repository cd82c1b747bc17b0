"""Tokens, certificates and keys from their files; no message ever shows one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hub.config.certificates import certificate_fault, expiry_doubt, key_fault, pair_fault
from hub.config.files import CannotRead
from hub.core.settings import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hub.config import file as shape
    from hub.config.files import Files
    from hub.config.places import At, Findings

_SHORT_CHARS = 12
_LONG_PATH_CHARS = 255
_SECRET_FILES = ("file", "key")  # The settings that name a file with a secret.
_CONTENT = "expected the path of a file, got its content"


class CredentialReader:
    """Reads them for one configuration, and remembers who holds which token."""

    def __init__(self, files: Files, findings: Findings) -> None:
        self._files = files
        self._findings = findings
        self._holders: dict[str, tuple[str, str, At]] = {}

    def read(self, at: At, path: str) -> bytes:
        """The content of a file; nothing if it cannot be read, which is reported."""
        try:
            if not _is_content(path):
                return self._files.read(path)
            reason = _CONTENT
        except CannotRead as error:
            reason = _CONTENT if len(path) > _LONG_PATH_CHARS else f"cannot read {self._named(at, path)}: {error}"
        self._findings.wrong(at, reason)
        self._findings.bad(at)
        return b""

    def _named(self, at: At, path: str) -> str:
        """The file; not by its name if that may be a secret that was written instead of one."""
        return f'"{path}"' if at[-1] not in _SECRET_FILES or self._files.seems_to_be(path) else "this file"

    def token(self, at: At, entry: shape.TokenFile) -> str:
        """The token in a file; empty if there is none."""
        at = (*at, "file")
        data = self.read(at, entry.file)
        if self._files.offline or self._findings.depends_on_bad(at):
            return ""
        reason = _token_fault(data)
        if reason is not None:
            self._findings.wrong(at, f'"{entry.file}" {reason}')
            return ""
        token = data.decode("ascii").strip()
        if len(token) < _SHORT_CHARS:
            self._findings.doubt(
                at,
                f'the token in "{entry.file}" has fewer than {_SHORT_CHARS} characters and is easy to guess; '
                "make one with: openssl rand -hex 32",
            )
        return token

    def tokens(self, at: At, kind: str, name: str, entries: Sequence[shape.TokenFile]) -> tuple[str, ...]:
        """The tokens of one holder, which nobody else may have."""
        found = []
        for index, entry in enumerate(entries):
            place = (*at, "tokens", index)
            token = self.token(place, entry)
            if token:
                found.append(token)
            self._own(place, kind, name, token or self._file_offline(entry))
        return tuple(found)

    def _file_offline(self, entry: shape.TokenFile) -> str:
        """What to compare where tokens are not read: their files."""
        return f"file {entry.file}" if self._files.offline and entry.file else ""

    def _own(self, at: At, kind: str, name: str, token: str) -> None:
        if not token:
            return
        other_kind, other_name, other_at = self._holders.setdefault(token, (kind, name, at))
        if other_at[:2] == at[:2]:
            return
        also = self._findings.places.also((*other_at, "file"))
        if other_kind == kind:
            reason = f'{kind}s "{other_name}" and "{name}" share a token; each {kind} needs its own (also {also})'
            self._findings.wrong((*at, "file"), reason)
        else:
            reason = f"{_called(other_kind, other_name)} and {_called(kind, name)} share a token; each needs its own"
            self._findings.doubt((*at, "file"), f"{reason} (also {also})")

    def server_tls(self, at: At, tls: shape.ServerTls | None) -> TlsFiles | None:
        """The files of a port, checked."""
        if tls is None:
            return None
        chain, key = self.pair(at, tls.certificate, tls.key)
        client_ca = self.certificate((*at, "client_ca"), tls.client_ca) if tls.client_ca else b""
        return TlsFiles(
            certificate=self._files.watch(tls.certificate),
            key=self._files.watch(tls.key),
            client_ca=self._files.watch(tls.client_ca) if tls.client_ca else "",
            certificate_pem=chain,
            key_pem=key,
            client_ca_pem=client_ca,
        )

    def pair(self, at: At, certificate: str, key: str) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        chain = self.certificate((*at, "certificate"), certificate)
        private = self._checked((*at, "key"), key, key_fault)
        if chain and private:
            reason = pair_fault(Path(self._files.watch(certificate)), Path(self._files.watch(key)))
            if reason is not None:
                self._findings.wrong((*at, "key"), f'{reason} ("{key}", "{certificate}")')
        return chain, private

    def certificate(self, at: At, path: str) -> bytes:
        """Certificates, PEM."""
        data = self._checked(at, path, certificate_fault)
        doubt = expiry_doubt(data) if data else None
        if doubt is not None:
            self._findings.doubt(at, f'"{path}": {doubt}')
        return data

    def _checked(self, at: At, path: str, fault: Callable[[bytes], str | None]) -> bytes:
        data = self.read(at, path)
        if self._files.offline or self._findings.depends_on_bad(at):
            return b""
        reason = fault(data)
        if reason is None:
            return data
        self._findings.wrong(at, f'"{path}": {reason}')
        return b""


def _is_content(path: str) -> bool:
    return "\n" in path.strip() or "-----BEGIN" in path


def _called(kind: str, name: str) -> str:
    return f'{kind} "{name}"' if name else kind


def _token_fault(data: bytes) -> str | None:
    text = data.decode("latin-1").strip()
    if not text:
        return "is empty; expected one token"
    if any(character.isspace() for character in text):
        return "holds a token with whitespace inside; expected one token, nothing else"
    if not (text.isascii() and text.isprintable()):
        return "does not hold a token; expected printable ASCII"
    return None
