"""A backend without any generated code: the contract comes from the hub's reflection, as grpcurl does it.

Attached, or with ``--register`` dialled.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

REGISTRY = "appset_hub.v1.RegistryService"
BACKEND = "appset_hub.v1.BackendService"


class Contract:
    """What the hub's reflection says."""

    def __init__(self, channel: grpc.Channel) -> None:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert REGISTRY in database.get_services()
        self._pool = DescriptorPool(database)

    def message(self, kind: str, /, **fields: Any) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(f"appset_hub.v1.{kind}"))(**fields)

    def method(self, service: str, name: str) -> tuple[str, Any, Any]:
        """The path of a method, its request's class and its response's."""
        found = self._pool.FindServiceByName(service).FindMethodByName(name)
        return f"/{service}/{name}", GetMessageClass(found.input_type), GetMessageClass(found.output_type)


def answer(contract: Contract, name: str, request: Any) -> Any:
    sets = [{"from": name, **json.loads(request.input_parameters_json)}]
    return contract.message("GetParamsResponse", parameters_json=json.dumps(sets).encode())


def attach(contract: Contract, channel: grpc.Channel, info: Any, metadata: Any) -> None:
    path, request, response = contract.method(REGISTRY, "Attach")
    outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    outbox.put(contract.message("AttachRequest", hello=contract.message("Hello", backend=info)))
    call = channel.stream_stream(
        path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    for message in call(iter(outbox.get, None), metadata=metadata):
        answers = [
            contract.message("Answer", question_id=question.id, response=answer(contract, info.name, question.request))
            for question in message.questions.questions
        ]
        if answers:
            outbox.put(contract.message("AttachRequest", answers=contract.message("Answers", answers=answers)))


def register(contract: Contract, channel: grpc.Channel, info: Any, metadata: Any) -> None:
    _, request, response = contract.method(BACKEND, "GetParams")
    handler = grpc.unary_unary_rpc_method_handler(
        lambda question, _: answer(contract, info.name, question),
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(BACKEND, {"GetParams": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    path, request, response = contract.method(REGISTRY, "Register")
    call = channel.unary_unary(
        path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    lease = call(
        contract.message("RegisterRequest", backend=info, address=f"127.0.0.1:{port}"), metadata=metadata, timeout=10
    )
    assert lease.ttl.seconds > 0
    server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--application-sets", nargs="*", default=[])
    parser.add_argument("--hub", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--register", action="store_true")
    options = parser.parse_args()
    metadata = [("authorization", f"Bearer {options.token_file.read_text()}")]
    with grpc.insecure_channel(options.hub) as channel:
        contract = Contract(channel)
        info = contract.message(
            "BackendInfo", name=options.name, instance=str(uuid.uuid4()), application_sets=options.application_sets
        )
        assert not any(module.startswith("appset_hub") for module in sys.modules)
        (register if options.register else attach)(contract, channel, info, metadata)


if __name__ == "__main__":
    main()
