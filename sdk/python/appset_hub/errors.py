"""What goes wrong on a backend's side, as one tree.

Pure values. The text of an error is meant for its reader: one line, no secret, the same text for the same fault.
"""

from __future__ import annotations

from typing import ClassVar


class AppSetHubError(Exception):
    """The root of everything that this package raises by itself.

    ```
    AppSetHubError
    ├── InvalidSettings          the backend's settings are missing or wrong
    │   └── CannotServe          the same, from `serve`: a script that does not catch it ends with exit code 2
    └── QuestionFailed           a question has no answer
        ├── InvalidInput         its input is wrong: 400 at the hub, with the message and the path
        ├── NotReady             it cannot be answered yet: 503 at the hub, unless another instance can
        ├── DeadlinePassed       the hub stopped waiting for it
        ├── QuestionCancelled    the caller no longer waits
        └── BackendFault         anything else: 502 at the hub
            └── BrokenAnswer     the function returned something that is not a valid answer
                └── AnswerTooLarge
    ```

    Raise `InvalidInput` and `NotReady` from your function. The others are raised for you.
    """


class InvalidSettings(AppSetHubError, ValueError):
    """Settings of the backend are missing or wrong; nothing was started. `problems` has one line for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


class CannotServe(InvalidSettings, SystemExit):
    """`serve` was called with settings that are missing or wrong.

    It is also a `SystemExit`, so a script that does not catch it ends with a logged line and exit code 2 instead of a
    traceback. To handle it, catch `InvalidSettings`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.code = 2


class QuestionFailed(AppSetHubError):
    """A question has no answer. `code` is the google.rpc.Code that the hub is told."""

    code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        """What the hub is told, in one line that is valid UTF-8."""
        return one_line(str(self))


class InvalidInput(QuestionFailed):
    """The input of the question is wrong, and asking again will not help.

    `path` says where, as a JSON path into the input; it leads the message that the ApplicationSet's author reads.
    """

    code = 3

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class NotReady(QuestionFailed):
    """The question cannot be answered yet: a cache is cold, or something behind the backend is away.

    `retry_after_s` says in how many seconds it may be, if that is known. It becomes the `Retry-After` of the hub's 503,
    within the hub's limits.
    """

    code = 14

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlinePassed(QuestionFailed):
    """The hub stopped waiting before the function returned."""

    code = 4


class QuestionCancelled(QuestionFailed):
    """The caller no longer waits for the answer."""

    code = 1


class BackendFault(QuestionFailed):
    """The function failed. Its own text stays in the backend's log, for it may hold secrets."""

    code = 13


class BrokenAnswer(BackendFault):
    """What the function returned is not a valid answer; the message names the set and the key."""


class AnswerTooLarge(BrokenAnswer):
    """The answer is larger than the hub accepts: 502 at the hub, with the message, which has the size and the limit."""

    code = 8


def one_line(text: str, longest: int = 1024) -> str:
    """Return `text` as one line that any gRPC message can carry."""
    line = " ".join(text.split())[:longest]
    return line.encode("utf-8", "replace").decode("utf-8")


def failure(code: int, message: str, retry_after_s: float | None = None) -> QuestionFailed:
    """Return the error of the tree that stands for `code`; the opposite of `QuestionFailed.code`."""
    if code == NotReady.code:
        return NotReady(message, retry_after_s=retry_after_s)
    kinds: tuple[type[QuestionFailed], ...] = (InvalidInput, DeadlinePassed, QuestionCancelled, AnswerTooLarge)
    return next((kind for kind in kinds if kind.code == code), BackendFault)(message)
