"""Text from outside, as it may stand in a message or a log: one line, bounded, with nothing that a terminal obeys."""

from __future__ import annotations

MAX_MESSAGE_CHARS = 1024
"""Of any error: twice what fits in a refusal's body, so that only the body decides what is cut there."""

_CUT = " … "


def plain(text: str, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """The text with line breaks and control characters escaped, cut at its end when it is long."""
    if len(text) <= max_chars and text.isprintable():
        return text
    # Cut first: escaping a megabyte of which a line is left takes a megabyte's time.
    line = _escaped(text[:max_chars])
    return line if len(line) <= max_chars and len(text) <= max_chars else line[: max_chars - 1] + "…"


def shortened(text: str, max_chars: int) -> str:
    """The text with its middle cut out when it is long: of a traceback, the end says most."""
    if len(text) <= max_chars:
        return text
    kept = (max_chars - len(_CUT)) // 2
    return text[:kept] + _CUT + text[-kept:]


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
