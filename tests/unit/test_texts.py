"""Text from outside fits on one line of a log or a status."""

from __future__ import annotations

import pytest

from hub.core.errors import AnswerRefused, BackendNotReady
from hub.core.registration import Malformed
from hub.core.texts import MAX_MESSAGE_CHARS, plain, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("as it is, ünï", "as it is, ünï"),
        ('two\nlines {"a":1}', 'two\\nlines {"a":1}'),
        ("a\x1b[2Jb\x00\x7f", "a\\x1b[2Jb\\x00\\x7f"),
        ("\u202eleft", "\\u202eleft"),
        ("\ud800", "\\ud800"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 19 + "…"),
        ("\n" * 20, "\\n" * 9 + "\\…"),
    ],
    ids=["nothing", "plain", "line break", "control", "direction", "half a pair", "fits", "long", "long once escaped"],
)
def test_text_becomes_one_line_without_controls(text: str, shown: str) -> None:
    assert plain(text, 20) == shown
    assert shown.isprintable()


@pytest.mark.parametrize("error", [AnswerRefused, BackendNotReady, Malformed])
def test_an_errors_text_is_one_bounded_line(error: type[Exception]) -> None:
    text = str(error("one\ntwo\x1b" + "x" * 1_000_000))
    assert text.startswith("one\\ntwo\\x1bxxx")
    assert len(text) == MAX_MESSAGE_CHARS


def test_of_a_long_text_the_beginning_and_the_end_stay() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("beginning" + "x" * 100 + "the end", 20) == "beginnin … xthe end"
