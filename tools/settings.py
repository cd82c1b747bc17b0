"""The reference page of ``hub.yaml``: path, default and meaning of every setting, from ``hub.config.file``."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from hub.config import file
from hub.config.read import ENVIRONMENT_PREFIX, scalars

HEAD = """\
# Configuration

Generated from `hub/config/file.py` by `make docs`; edit the descriptions there.

`appset-hub serve --config hub.yaml` reads one YAML file. Flags override the environment (`HUB_…`), which overrides the
file, which overrides the defaults. A minimal file:

```yaml
clients: [{name: argocd, tokens: [{file: argocd.token}]}]
```

The file, and every token and certificate that it names, is reloaded when it changes, and on SIGHUP. A bad file keeps
the old configuration; the log and `appset_hub_configuration_last_reload_successful` say so. Changes are noticed at
once with inotify, and within a second without it. A running hub reads the file in a process of its own, so that a
large one does not delay requests; if that fails because the machine has run out of something, the hub tries again.
`listen`, `store`, `limits`, `drain` and `log` need a restart, and so does turning TLS or client certificates on or
off in `tls.grpc`. When one of these changes, everything else is applied, and the log, `/readyz` and
`appset_hub_configuration_needs_restart` say what needs the restart.

## Checking a file

`appset-hub config check --config hub.yaml` reports everything that is wrong at once, with file, line and path:

```
hub.yaml:12: routes[0].deadline: expected a duration such as "25s", got the number 25
hub.yaml:15: routes[1].backends[0]: no backend "image" is configured; did you mean "images"?
```

- **Errors** are settings that cannot work. The command exits with 2, `serve` does not start, and a reload keeps the old
  configuration.
- **Warnings** are settings that are allowed but probably not intended: a route that no request can reach, a deadline
  that is not shorter than Argo CD's timeout, a grant that nothing can use, an expired certificate. The command exits
  with 0, or with 1 with `--strict`; `serve` logs each as `configuration_warning`, at the start and after a reload.
  The search for what cannot be reached is limited to about 0.1 s of work; with thousands of patterns that neither
  begin nor end with different text, it does not find everything.
- `--offline` reads no file but `hub.yaml`: use it in CI, where tokens, certificates and the store's folder are
  absent. Everything else is checked.
- `--json` prints a list of objects with `severity`, `file`, `line`, `column`, `path` and `reason`.

An error in a variable or a flag is reported under its name, such as `HUB_DEADLINE` or `--deadline`.
`appset-hub config schema` prints the JSON Schema, for editors.

## Values

- **Durations** are numbers with units: `500ms`, `25s`, `1m30s`, `1h`, `7d`; at most `3650d`.
- **Numbers** are decimal: `010` and `1:30` are text, and an error where a number is expected.
- **Sizes** (`…_bytes`) are whole numbers of bytes, without a unit: `1048576`.
- **Patterns** are globs, not regular expressions: `*` matches any text, `?` one character, `[abc]` one of these.
- **Paths** are relative to the folder of `hub.yaml`.
- **Secrets** come only from files: `{file: PATH}`. Each client and each backend needs its own token.
- The file is UTF-8, at most 4 MiB, and nested at most 64 levels deep. Anchors, aliases and merge keys (`<<`) work.
  `on`, `off`, `yes`, `no` and dates are text, so `mode: off` needs no quotes. A duplicate key is an error.
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
    """The allowed words, which the description need not repeat."""
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
