"""The page that tells the gRPC contract: the prose of ``proto/``, and nothing that is not there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).parent.parent
PACKAGE = "appset_hub.v1"

# Field numbers of descriptor.proto: they are the steps of a path to a comment.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, ONEOFS, VALUES, METHODS = 2, 8, 2, 2

HEAD = """\
# The gRPC contract

Made from `proto/` by `make docs`; edit the prose there. Package `appset_hub.v1`.
"""


class Prose:
    """The comments of one file, by the place of what they stand above."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}

    def paragraphs(self, *path: int) -> str:
        """The comment as Markdown: the blank lines kept, each paragraph on one line."""
        paragraphs = re.split(r"\n\s*\n", self._comments.get(path, "").strip())
        return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)

    def line(self, *path: int) -> str:
        """The comment for a cell of a table."""
        return self.paragraphs(*path).replace("\n\n", "<br>").replace("|", "\\|")


def kind(field: FieldDescriptorProto) -> str:
    """A field's type in the words of a .proto file."""
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = field.type_name.removeprefix(f".{PACKAGE}.").removeprefix(".") or scalar
    return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def signature(method: MethodDescriptorProto) -> str:
    """An RPC in the words of a .proto file."""
    takes, gives = (name.removeprefix(f".{PACKAGE}.") for name in (method.input_type, method.output_type))
    asked = f"stream {takes}" if method.client_streaming else takes
    answered = f"stream {gives}" if method.server_streaming else gives
    return f"rpc {method.name}({asked}) returns ({answered})"


def service(at: int, found: ServiceDescriptorProto, prose: Prose) -> Iterator[str]:
    """A service and its RPCs."""
    yield f"\n## {found.name}\n\n{prose.paragraphs(SERVICES, at)}\n"
    for index, method in enumerate(found.method):
        yield f"\n### {method.name}\n\n`{signature(method)}`\n"
        yield f"\n{prose.paragraphs(SERVICES, at, METHODS, index)}\n"


def message(at: int, found: DescriptorProto, prose: Prose) -> Iterator[str]:
    """A message and its fields."""
    yield f"\n### {found.name}\n\n{prose.paragraphs(MESSAGES, at)}\n"
    for index, choice in enumerate(found.oneof_decl):
        yield f"\nOne of `{choice.name}`: {prose.paragraphs(MESSAGES, at, ONEOFS, index)}\n"
    if found.field:
        yield "\n| no. | field | type | what it says |\n|---|---|---|---|\n"
    for index, field in enumerate(found.field):
        told = prose.line(MESSAGES, at, FIELDS, index)
        yield f"| {field.number} | `{field.name}` | `{kind(field)}` | {told} |\n"


def enum(at: int, found: EnumDescriptorProto, prose: Prose) -> Iterator[str]:
    """An enum and its values."""
    yield f"\n### {found.name}\n\n{prose.paragraphs(ENUMS, at)}\n\n| no. | value | what it says |\n|---|---|---|\n"
    for index, value in enumerate(found.value):
        yield f"| {value.number} | `{value.name}` | {prose.line(ENUMS, at, VALUES, index)} |\n"


def page() -> str:
    """The whole page: all services first, then what travels."""
    buf = [str(Path(sys.executable).with_name("buf")), "build", "--as-file-descriptor-set", "--output=-"]
    image = FileDescriptorSet.FromString(subprocess.run(buf, cwd=ROOT, check=True, capture_output=True).stdout)
    files = [(file, Prose(file)) for file in image.file if file.package == PACKAGE]
    parts = [HEAD]
    for file, prose in files:
        for at, found in enumerate(file.service):
            parts += service(at, found, prose)
    parts.append("\n## Messages\n")
    for file, prose in files:
        for at, sent in enumerate(file.message_type):
            parts += message(at, sent, prose)
        for at, listed in enumerate(file.enum_type):
            parts += enum(at, listed, prose)
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
