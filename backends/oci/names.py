"""What tags, repositories and digests look like, which repositories a pattern takes in, and templates of them.

Pure. Whatever comes from an input goes through here before it becomes a part of an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from appset_hub import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The grammars of the OCI distribution specification.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_REPOSITORY_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
_LONGEST_REPOSITORY = 255

_TAG_VALUE = re.compile(r"[A-Za-z0-9._-]+\Z")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KEY = re.compile(r"[A-Za-z0-9_.-]+\Z")


def is_tag(text: str) -> bool:
    """Tell whether a registry may have such a tag."""
    return _TAG.match(text) is not None


def is_repository(text: str) -> bool:
    """Tell whether a registry may have such a repository."""
    return len(text) <= _LONGEST_REPOSITORY and all(_REPOSITORY_PART.match(part) for part in text.split("/"))


def is_digest(text: str) -> bool:
    """Tell whether it is a digest that can be checked."""
    return _DIGEST.match(text) is not None


def is_allowed(repository: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of the patterns takes the repository in; `*` does not reach over a `/`."""
    return any(_matches(repository.split("/"), pattern.split("/")) for pattern in patterns)


def _matches(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


@dataclass(frozen=True, slots=True)
class Template:
    """Text with the names of inputs in braces, such as `{branch}-latest`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template that `text` writes.

        Raises:
            ValueError: a brace is left over, or what is in braces is no name of an input.
        """
        for key in _PLACEHOLDER.findall(text):
            if not _KEY.match(key):
                raise ValueError(f'"{{{key}}}" is no name of an input')
        if set(_PLACEHOLDER.sub("", text)) & set("{}"):
            raise ValueError("has a brace that stands alone")
        return cls(text)

    @property
    def is_fixed(self) -> bool:
        """Whether no input changes it."""
        return _PLACEHOLDER.search(self.text) is None

    def fill_sample(self) -> str:
        """Return the text with a harmless value for each input, to see whether it can come out right at all."""
        return _PLACEHOLDER.sub("0", self.text)

    def fill_tag(self, parameters: Mapping[str, Any]) -> str:
        """Return the text with the inputs in it. They hold only what tags hold, so none becomes a pattern or a range.

        Raises:
            InvalidInput: an input is missing, or no part of a tag.
        """
        return self._fill(parameters, _TAG_VALUE, 'must be a part of a tag: letters, digits, "_", "." and "-" only')

    def fill_repository(self, parameters: Mapping[str, Any]) -> str:
        """Return the text with the inputs in it; each is one part of the path.

        Raises:
            InvalidInput: an input is missing, or no part of a repository's path.
        """
        return self._fill(
            parameters, _REPOSITORY_PART, 'must be one part of a repository\'s path: lower-case, without "/"'
        )

    def _fill(self, parameters: Mapping[str, Any], values: re.Pattern[str], rule: str) -> str:
        return _PLACEHOLDER.sub(lambda found: _value(parameters, found[1], values, rule), self.text)


def _value(parameters: Mapping[str, Any], key: str, values: re.Pattern[str], rule: str) -> str:
    value = parameters.get(key)
    if value is None:
        raise InvalidInput("is required", path=f"$.{key}")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not values.match(value):
        raise InvalidInput(rule, path=f"$.{key}")
    return value
