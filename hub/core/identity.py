"""What makes a parameter set the one that it is, as text that a person recognises.

A set's identity is its values under some keys, or all of it. Which keys these are is decided elsewhere.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_IDENTITY_CHARS = 64
PRINT_BYTES = 4

_DIGEST_BYTES = 8
_CUT_AT = MAX_IDENTITY_CHARS - 2 * _DIGEST_BYTES - 1
_CUT = "…"

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode_set = msgspec.json.Decoder(dict[str, Any]).decode


class Basis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the identities of one answer are made of.

    ``keys`` are those of all sets; none: whole sets count. ``members``: the sets of these backends have keys of their
    own, and their identities begin with the backend's name. ``count`` is the path of the list of which each element
    counts instead of its set; the element is then among the keys.
    """

    keys: tuple[str, ...] = ()
    members: dict[str, tuple[str, ...]] = {}
    count: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every set counts as a whole."""
        return not self.keys and not self.members

    def keys_of(self, member: str) -> tuple[str, ...]:
        """The keys of a member's sets."""
        return self.members.get(member, ()) if self.members else self.keys


WHOLE = Basis()


def identities(sets: Iterable[dict[str, Any]], unique_by: Sequence[str]) -> tuple[str, ...]:
    """What makes each set the one that it is: its values under ``unique_by``, else all of it.

    Short ones stand for themselves, so that a person recognises them; of long ones the start is kept, and a digest.
    """
    if len(unique_by) == 1:
        (key,) = unique_by
        return tuple([_short(value if type(value := one[key]) is str else as_text(value)) for one in sets])
    if unique_by:
        return tuple([_short(as_text([one[key] for key in unique_by])) for one in sets])
    return tuple([_short(as_text(one)) for one in sets])


def identify(sets: Sequence[dict[str, Any]], origins: Mapping[str, int], basis: Basis) -> tuple[str, ...] | None:
    """The identities of an answer's sets; ``None`` if a set has no value under a key.

    ``origins`` says how many sets came from which member, in their order.
    """
    if not basis.members:
        return identities(sets, basis.keys) if all(has_keys(one, basis.keys) for one in sets) else None
    found: list[str] = []
    for member, part in by_member(sets, origins):
        keys = basis.keys_of(member)
        if not all(has_keys(one, keys) for one in part):
            return None
        found += of_member(member, part, keys)
    return tuple(found) if len(found) == len(sets) else None


def of_member(member: str, sets: Sequence[dict[str, Any]], keys: Sequence[str]) -> tuple[str, ...]:
    """The identities of one member's sets among those of others.

    Two members may use the same name for two Applications, so the member is a part of it. Whole sets are not prefixed:
    they are the same set wherever they come from.
    """
    texts = identities(sets, keys)
    return tuple(_short(f"{member}: {text}") for text in texts) if keys else texts


def by_member(
    sets: Sequence[dict[str, Any]], origins: Mapping[str, int]
) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    """The sets of each member."""
    start = 0
    for member, count in origins.items():
        yield member, sets[start : start + count]
        start += count


def has_keys(one: Mapping[str, Any], keys: Iterable[str]) -> bool:
    """Whether a set has a value under every key; an empty text is none."""
    return not any(is_missing(one.get(key)) for key in keys)


def is_missing(value: Any) -> bool:
    """Whether a value names nothing: templates render an empty text and null alike for all sets that have them."""
    return value is None or value == ""


def prints(sets: Iterable[dict[str, Any]]) -> tuple[bytes, ...]:
    """A short fingerprint of each whole set; it tells whether a set changed, and is no proof that it did not."""
    return tuple([(crc32(_encode_sorted(one)) or 1).to_bytes(PRINT_BYTES, "big") for one in sets])


def print_of(value: Any) -> bytes:
    """A short fingerprint of a value; never all zeros."""
    text = value.encode() if type(value) is str else _encode_sorted(value)
    return (crc32(text) or 1).to_bytes(PRINT_BYTES, "big")


def is_cut(identity: str) -> bool:
    """Whether only the start of it is kept, and a digest."""
    return len(identity) == MAX_IDENTITY_CHARS and identity[_CUT_AT] == _CUT


def whole_set(identity: str) -> dict[str, Any] | None:
    """The set that a whole set's identity stands for, if it is not cut."""
    if is_cut(identity) or not identity.startswith("{"):
        return None
    try:
        return _decode_set(identity)
    except (msgspec.DecodeError, UnicodeError):
        return None


def as_text(value: Any) -> str:
    """A value as JSON, with its keys in order."""
    return _encode_sorted(value).decode()


def as_json(value: Any) -> bytes:
    """As ``as_text``, in UTF-8."""
    return _encode_sorted(value)


def _short(text: str) -> str:
    if len(text) <= MAX_IDENTITY_CHARS:
        return text
    digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{text[:_CUT_AT]}{_CUT}{digest}"


def packed(found: Iterable[str]) -> bytes:
    """A set of identities as sorted fingerprints, one after the other."""
    return b"".join(sorted(blake2b(one.encode(), digest_size=_DIGEST_BYTES).digest() for one in set(found)))


def contains(larger: bytes, smaller: bytes) -> bool:
    """Whether all identities of one packed set are in another."""
    return set(_unpacked(smaller)) <= set(_unpacked(larger))


def _unpacked(fingerprints: bytes) -> Iterator[bytes]:
    return (fingerprints[start : start + _DIGEST_BYTES] for start in range(0, len(fingerprints), _DIGEST_BYTES))
