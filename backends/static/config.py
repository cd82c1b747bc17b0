"""The configuration of `static`, and its way from files to values.

Reads files; knows neither questions nor when to read again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from appset_hub import Answer, BrokenAnswer, check_parameters

from backends.documents import parse_document
from backends.mistakes import Mistake

if TYPE_CHECKING:
    from pathlib import Path

_Glob = Annotated[str, msgspec.Meta(min_length=1)]


class EntryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer, and the questions that it is for."""

    application_sets: Annotated[
        tuple[_Glob, ...],
        msgspec.Meta(description="Glob patterns; one must match the name of the ApplicationSet.", min_length=1),
    ] = ("*",)
    when: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="Inputs that must be there with exactly these JSON values. Other inputs do not matter."
        ),
    ] = {}
    parameters: Annotated[
        list[dict[str, Any]] | msgspec.UnsetType,
        msgspec.Meta(description="The parameter sets. [] says that there are none. Either this or file."),
    ] = msgspec.UNSET
    file: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | msgspec.UnsetType,
        msgspec.Meta(description="A YAML or JSON file with a list of parameter sets, relative to this one."),
    ] = msgspec.UNSET
    fresh_for_s: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None,
        msgspec.Meta(description="How long the hub may give this answer again without asking, in seconds."),
    ] = None


class StaticConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parameter sets answer which question."""

    application_sets: Annotated[
        tuple[_Glob, ...],
        msgspec.Meta(description="The claim: glob patterns on the names of the ApplicationSets that are served."),
    ] = ()
    unique_by: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        msgspec.Meta(
            description="Keys whose values identify a parameter set, as [name]. The hub then lets a release pass that "
            "changes other values, and refuses an answer whose sets they do not tell apart.",
            max_length=8,
        ),
    ] = ()
    answers: Annotated[
        tuple[EntryConfig, ...],
        msgspec.Meta(description="Asked in this order: the first that matches is the answer.", min_length=1),
    ]
    otherwise: Annotated[
        Literal["error", "none"],
        msgspec.Meta(
            description="What to say when nothing matches: an error (Argo CD leaves everything as it is), or that "
            "there are no parameter sets (Argo CD deletes the Applications)."
        ),
    ] = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer that is ready to be given, and the questions that it is for."""

    application_sets: tuple[str, ...]
    when: dict[str, Any]
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration, complete and checked. `files` are all that it was read from, with what was in them."""

    application_sets: tuple[str, ...]
    unique_by: tuple[str, ...]
    entries: tuple[Entry, ...]
    none_otherwise: bool
    files: dict[Path, bytes]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return msgspec.json.schema(StaticConfig)


def load(path: Path) -> Loaded:
    """Read the configuration at `path`, and every file that it names.

    Raises:
        Mistake: something is wrong with one of them.
    """
    files = {path: read(path)}
    try:
        config = msgspec.convert(parse_document(files[path], path), StaticConfig)
    except msgspec.ValidationError as error:
        raise Mistake(path, _with_path_first(str(error))) from error
    entries = []
    for index, entry in enumerate(config.answers):
        sets = _sets_of(entry, path, f"answers[{index}]", files)
        _check_identities(sets, config.unique_by, path, f"answers[{index}]")
        entries.append(Entry(application_sets=entry.application_sets, when=entry.when, answer=_answer(sets, entry)))
    return Loaded(
        application_sets=config.application_sets,
        unique_by=config.unique_by,
        entries=tuple(entries),
        none_otherwise=config.otherwise == "none",
        files=files,
    )


def read(path: Path) -> bytes:
    """Return what is in the file.

    Raises:
        Mistake: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Mistake(path, f"cannot be read: {error.strerror}") from error


def _sets_of(entry: EntryConfig, path: Path, place: str, files: dict[Path, bytes]) -> list[dict[str, Any]]:
    if (entry.parameters is msgspec.UNSET) == (entry.file is msgspec.UNSET):
        raise Mistake(path, f"{place}: needs either parameters or file")
    source, sets = path, entry.parameters
    if isinstance(entry.file, str):
        source, place = path.parent / entry.file, ""
        files[source] = read(source)
        sets = parse_document(files[source], source)
    try:
        check_parameters(sets)
    except BrokenAnswer as error:
        detail = str(error).replace("the function returned", "the document is").replace("it must return", "it must be")
        raise Mistake(source, ".".join(filter(None, (place, detail)))) from error
    return sets  # type: ignore[return-value]  # checked just now


def _check_identities(sets: list[dict[str, Any]], keys: tuple[str, ...], path: Path, place: str) -> None:
    """Find out at the start what the hub would refuse with each answer."""
    seen: dict[str, int] = {}
    for index, one in enumerate(sets if keys else []):
        lacking = next((key for key in keys if one.get(key) in (None, "")), None)
        if lacking is not None:
            raise Mistake(path, f'{place}: set {index + 1} has no value under "{lacking}", a key of unique_by')
        first = seen.setdefault(json.dumps([one[key] for key in keys], sort_keys=True), index)
        if first != index:
            equal = f"sets {first + 1} and {index + 1} have equal values under unique_by ({', '.join(keys)})"
            raise Mistake(path, f"{place}: {equal}")


def _answer(sets: list[dict[str, Any]], entry: EntryConfig) -> Answer:
    # Made once, so that a question whose answer the hub holds costs next to nothing.
    digest = hashlib.blake2b(json.dumps(sets).encode(), digest_size=16).hexdigest()
    return Answer(parameters=sets, fresh_for_s=entry.fresh_for_s, digest=digest)


def _with_path_first(message: str) -> str:
    """Turn `what - at `$.path`` into `path: what`."""
    what, _, place = message.partition(" - at `")
    path = place.removesuffix("`").removeprefix("$").removeprefix(".")
    return f"{path}: {what}" if path else what
