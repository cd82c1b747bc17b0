"""The generated stubs, as any author would use them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import appset_hub.v1
import pytest
from appset_hub.v1 import backend_pb2, registry_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor

MODULES = sorted(module.name for module in pkgutil.iter_modules(appset_hub.v1.__path__))

FIELDS = {
    "GetParamsRequest": ["application_set_name", "application_set_namespace", "input_parameters_json", "request_id",
                         "known_digest"],
    "GetParamsResponse": ["parameters_json", "digest", "not_modified", "fresh_for", "notices"],
    "Notice": ["severity", "text"],
    "BackendInfo": [
        "name",
        "instance",
        "version",
        "application_sets",
        "input_schema_json",
        "max_in_flight",
        "unique_by",
    ],
    "RegisterRequest": ["backend", "address"],
    "RegisterResponse": ["ttl", "ignored_application_sets"],
    "DeregisterRequest": ["name", "instance"],
    "DeregisterResponse": [],
    "AttachRequest": ["hello", "answers", "leaving"],
    "AttachResponse": ["welcome", "questions", "cancels", "drain"],
    "Hello": ["backend"],
    "Welcome": ["hub_instance", "max_in_flight", "max_answer_bytes", "ignored_application_sets"],
    "Question": ["id", "request", "time_left", "traceparent"],
    "Questions": ["questions"],
    "Failure": ["code", "message"],
    "Answer": ["question_id", "response", "failure"],
    "Answers": ["answers"],
    "Cancels": ["question_ids"],
    "Leaving": [],
    "Drain": [],
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_each_module_can_be_imported(module: str) -> None:
    assert importlib.import_module(f"appset_hub.v1.{module}")


@pytest.mark.parametrize(("message", "names"), FIELDS.items(), ids=FIELDS.keys())
def test_a_message_has_the_fields_and_numbers_of_the_design(message: str, names: list[str]) -> None:
    for module in (backend_pb2, registry_pb2):
        descriptor = module.DESCRIPTOR.message_types_by_name.get(message)
        if descriptor is not None:
            break
    assert descriptor is not None
    fields: list[FieldDescriptor] = sorted(descriptor.fields, key=lambda field: field.number)
    assert [field.name for field in fields] == names
    assert [field.number for field in fields] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        (backend_pb2.DESCRIPTOR.services_by_name["BackendService"], {"GetParams": (False, False)}),
        (
            registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
            {"Attach": (True, True), "Register": (False, False), "Deregister": (False, False)},
        ),
    ],
    ids=["backend", "registry"],
)
def test_a_service_has_the_methods_of_the_design(
    service: ServiceDescriptor, methods: dict[str, tuple[bool, bool]]
) -> None:
    assert service.full_name.startswith("appset_hub.v1.")
    assert {method.name: (method.client_streaming, method.server_streaming) for method in service.methods} == methods


def test_a_severity_that_is_not_said_is_number_zero() -> None:
    assert dict(backend_pb2.Severity.items()) == {"SEVERITY_UNSPECIFIED": 0, "SEVERITY_INFO": 1, "SEVERITY_WARNING": 2}
