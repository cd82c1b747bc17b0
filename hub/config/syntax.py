"""libyaml's complaints, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_NO_CONTENT = "did not find expected node content"

# From libyaml's text to ours; "{opened}" is where the list, mapping or quote began.
_REASONS = {
    "mapping values are not allowed in this context": (
        'unexpected ":"; quote a value that contains ": ", or correct the indentation'
    ),
    "did not find expected key": "expected a key here; check the indentation and the quotes",
    "could not find expected ':'": 'expected "key: value"',
    "did not find expected '-' indicator": 'expected "-" for the next item of the list; check the indentation',
    "block sequence entries are not allowed in this context": (
        'a list cannot start here; put "- " on a line of its own, or correct the indentation'
    ),
    "did not find expected ',' or ']'": 'expected "," or "]" in the list that starts on line {opened}',
    "did not find expected ',' or '}'": 'expected "," or "}}" in the mapping that starts on line {opened}',
    _NO_CONTENT: "expected a value here; what starts on line {opened} may not be closed",
    "found unexpected end of stream": "the quoted text that starts on line {opened} has no closing quote",
    "found unexpected document indicator": "the quoted text that starts on line {opened} has no closing quote",
    "did not find expected <document start>": "expected the end of the file; check the indentation",
}
_NO_START = "found character that cannot start any token"


def explained(error: yaml.MarkedYAMLError, text: str, opened_line: int) -> tuple[str, tuple[int, int] | None]:
    """What is wrong, and the line and column of it, from 1; ``opened_line`` is that of the innermost open value."""
    mark, opened = error.problem_mark, error.context_mark
    problem = str(error.problem)
    if mark is None:
        return f"not valid YAML: {problem}", None
    reason = _REASONS.get(problem, problem.replace("{", "{{").replace("}", "}}"))
    if problem == _NO_START:
        reason = _no_start(_character(text, mark))
    elif problem == _NO_CONTENT or opened is None:
        reason = reason.format(opened=opened_line)
    else:
        reason = reason.format(opened=opened.line + 1)
    tab = _tab_column(text, mark)
    if tab is not None:
        return "a tab in the indentation; YAML is indented with spaces", (mark.line + 1, tab)
    return f"not valid YAML: {reason}", (mark.line + 1, mark.column + 1)


def _line(text: str, mark: yaml.Mark) -> str:
    lines = text.splitlines()
    return lines[mark.line] if mark.line < len(lines) else ""


def _character(text: str, mark: yaml.Mark) -> str:
    return _line(text, mark)[mark.column : mark.column + 1]


def _no_start(character: str) -> str:
    return f'a value cannot start with "{character}"; put it in quotes'


def _tab_column(text: str, mark: yaml.Mark) -> int | None:
    """The column of a tab before the first word of the line, if there is one."""
    line = _line(text, mark)
    indentation = line[: len(line) - len(line.lstrip())]
    return indentation.index("\t") + 1 if "\t" in indentation else None
