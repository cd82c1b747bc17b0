"""The page that tells every setting of ``hub.yaml``: its path, default and meaning, as ``hub.config.file`` has them."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from hub.config import file
from hub.config.read import ENVIRONMENT_PREFIX, scalars

HEAD = """\
# Configuration

Made from `hub/config/file.py` by `make docs`; edit the descriptions there.

`appset-hub serve --config hub.yaml` reads one YAML file. Flags win over the environment, the environment over the file,
the file over the defaults. An unknown key is a mistake, and mistakes are told with their path before anything starts:
`appset-hub config check --config hub.yaml`. `appset-hub config schema` prints the JSON Schema, for editors.

The file, and every token and certificate that it names, is read again when it changes, or on SIGHUP; a bad file keeps
the old state and says so in the log and in `appset_hub_configuration_last_reload_successful`. `listen`, `store`,
`limits`, `drain` and `log` need a restart; so does turning TLS on or off in `tls`, or client certificates. When one of
these has changed, everything else is applied, and the log, `/readyz` and `appset_hub_configuration_needs_restart` say
what still waits for the restart.

Durations are a number and a unit: `500ms`, `25s`, `30m`, `1h`, `7d`. Patterns are globs: `*` any text, `?` one
character, `[abc]` one of these. Paths start at the folder of `hub.yaml`.
"""


def page() -> str:
    """The whole page."""
    environment = {setting.path for setting in scalars()}
    sections = [HEAD, _table("The file", "", file.File, environment)]
    sections += [_table(f"`{path}`", f"{path}.", struct, environment) for path, struct in _nested(file.File, "")]
    return "\n".join(sections)


def _nested(struct: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for name, hint in get_type_hints(struct).items():
        for inner, is_list in _structs(hint):
            path = f"{prefix}{name}" + ("[]" if is_list else "")
            yield path, inner
            yield from _nested(inner, f"{path}.")


def _structs(hint: Any) -> Iterator[tuple[type[msgspec.Struct], bool]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint, False
        return
    for argument in get_args(hint):
        for inner, is_list in _structs(argument):
            yield inner, is_list or get_origin(hint) is list


def _table(title: str, prefix: str, struct: type[msgspec.Struct], environment: set[str]) -> str:
    rows = ["| key | what | default |", "|---|---|---|"]
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        variable = ENVIRONMENT_PREFIX + (prefix + field.name).replace(".", "_").upper()
        also = f"<br>`{variable}`" if prefix + field.name in environment else ""
        what = f"{_description(hint)} {_kind(hint)}".strip().replace("|", "\\|")
        rows.append(f"| `{field.name}`{also} | {what} | {_default(field)} |")
    about = re.sub(r"\s*\n\s*", " ", (struct.__doc__ or "").strip())
    return f"## {title}\n\n{about}\n\n" + "\n".join(rows) + "\n"


def _description(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        for meta in get_args(hint)[1:]:
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
        return _description(get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return re.sub(r"\s*\n\s*", " ", (hint.__doc__ or "").strip())
    return ""


def _kind(hint: Any) -> str:
    """What may stand there, where the description does not say it by itself."""
    literals = list(_literals(hint))
    return "One of " + ", ".join(f"`{one}`" for one in literals) + "." if literals else ""


def _literals(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif get_origin(hint) in (Annotated, Union) or hasattr(hint, "__args__"):
        for argument in get_args(hint):
            yield from _literals(argument)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(value, msgspec.Struct):
        return "see below"
    if value in (None, "", [], {}):
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`" if isinstance(value, list) else f"`{value}`"
