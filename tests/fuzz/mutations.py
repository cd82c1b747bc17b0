"""Makes inputs of inputs: small changes to good ones, by chance that a seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

MAX_BYTES = 20_000
_ODD_BYTES = (0, 9, 10, 13, 32, 34, 44, 45, 58, 91, 92, 93, 123, 125, 127, 128, 192, 237, 255)
_ODD_NUMBERS = (b"-1", b"0", b"-0", b"1e999", b"18446744073709551616", b"9" * 400, b"0.1", b"1e-400", b"NaN", b"65536")


class Mutator:
    """Changes examples; ``words`` are pieces that mean something to what reads them."""

    def __init__(self, chance: random.Random, examples: Sequence[bytes], words: Sequence[bytes]) -> None:
        self._chance = chance
        self._examples = list(examples)
        self._words = [*words, *_ODD_NUMBERS]

    def next(self) -> bytes:
        """One more input."""
        data = bytearray(self._chance.choice(self._examples))
        for _ in range(self._chance.choice((0, 1, 1, 2, 3, 5, 8, 20))):
            self._change(data)
        return bytes(data[:MAX_BYTES])

    def _change(self, data: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(data) + 1)
        until = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(7):
            case 0:
                data[at:until] = b""
            case 1:
                data[at:at] = bytes([chance.choice(_ODD_BYTES)])
            case 2 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 3:
                data[at:at] = chance.choice(self._words)
            case 4:
                data[at:until] = chance.choice(self._words)
            case 5:
                data[at:at] = data[at:until] * chance.choice((1, 2, 10, 100))
            case _:
                other = chance.choice(self._examples)
                data[at:] = other[chance.randrange(len(other) + 1) :]
