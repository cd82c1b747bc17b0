"""How the holders of leases proved themselves, for as long as they hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hub.rpc.credentials import Proof

_ROOM = 1024  # Before those that have expired are looked for.


class Holders(Protocol):
    """Knows who holds a lease."""

    def holds_lease(self, backend: str, instance: str) -> bool:
        """Whether this instance does."""
        ...


class Leases:
    """The proofs, by backend and instance."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self._proofs: dict[tuple[str, str], Proof] = {}
        self._room = _ROOM

    def granted(self, instance: str, proof: Proof) -> None:
        """An instance has a lease, or renewed it."""
        self._proofs[proof.backend, instance] = proof
        if len(self._proofs) > self._room:
            self._room = _ROOM + 2 * len(self.held())

    def held(self) -> list[tuple[str, Proof]]:
        """Each instance that still has its lease, with its proof."""
        self._proofs = {key: proof for key, proof in self._proofs.items() if self._holders.holds_lease(*key)}
        return [(instance, proof) for (_, instance), proof in self._proofs.items()]
