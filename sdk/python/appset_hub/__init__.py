"""Write a backend for AppSet Hub: a function from a question to a list of parameter sets.

All that an author needs is here and in `appset_hub.testing`; the other modules may change.
"""

from appset_hub.encoding import check_parameters
from appset_hub.errors import (
    AnswerTooLarge,
    AppSetHubError,
    BackendFault,
    BrokenAnswer,
    CannotServe,
    DeadlinePassed,
    InvalidInput,
    InvalidSettings,
    NotReady,
    QuestionCancelled,
    QuestionFailed,
)
from appset_hub.question import Answer, Function, Notice, ParameterSets, Question, Severity
from appset_hub.serving import Running, run, run_until_signal, running, serve, stop_on_signal
from appset_hub.settings import DEFAULT_HUB, Backend, Connection, Pace

__all__ = [
    "DEFAULT_HUB",
    "Answer",
    "AnswerTooLarge",
    "AppSetHubError",
    "Backend",
    "BackendFault",
    "BrokenAnswer",
    "CannotServe",
    "Connection",
    "DeadlinePassed",
    "Function",
    "InvalidInput",
    "InvalidSettings",
    "NotReady",
    "Notice",
    "Pace",
    "ParameterSets",
    "Question",
    "QuestionCancelled",
    "QuestionFailed",
    "Running",
    "Severity",
    "check_parameters",
    "run",
    "run_until_signal",
    "running",
    "serve",
    "stop_on_signal",
]
