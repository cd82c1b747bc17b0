"""A backend on nothing but the generated stubs, as its author would write it in any language.

Attached (``--hub``), registered (``--hub`` and ``--register``), or waiting to be dialled (neither). It says what
``sdk_backend.py`` says.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from appset_hub.v1 import backend_pb2, backend_pb2_grpc, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

Metadata = tuple[tuple[str, str | bytes], ...]


def say(event: str, request: backend_pb2.GetParamsRequest) -> None:
    print(json.dumps({"event": event, "name": request.application_set_name}), flush=True)  # noqa: T201


class Author:
    """Answers a question, unless it is given up before."""

    def __init__(self, name: str) -> None:
        self._name = name

    def answer(
        self, request: backend_pb2.GetParamsRequest, given_up: threading.Event
    ) -> backend_pb2.GetParamsResponse | None:
        say("asked", request)
        parameters = json.loads(request.input_parameters_json)
        if given_up.wait(parameters.get("wait_s", 0)):
            say("cancelled", request)
            return None
        say("answered", request)
        sets = [{"from": self._name, **parameters}]
        return backend_pb2.GetParamsResponse(parameters_json=json.dumps(sets).encode())


class Attached:
    """One stream to the hub."""

    def __init__(self, author: Author, info: registry_pb2.BackendInfo) -> None:
        self._author = author
        self._info = info
        self._outbox: queue.SimpleQueue[registry_pb2.AttachRequest] = queue.SimpleQueue()
        self._open: dict[int, threading.Event] = {}

    def run(self, channel: grpc.Channel, metadata: Metadata) -> None:
        self._outbox.put(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=self._info)))
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        for message in stub.Attach(self._requests(), metadata=metadata):
            for question in message.questions.questions:
                self._open[question.id] = threading.Event()
                threading.Thread(target=self._answer, args=(question,), daemon=True).start()
            for question_id in message.cancels.question_ids:
                self._open[question_id].set()

    def _requests(self) -> Iterator[registry_pb2.AttachRequest]:
        while True:
            yield self._outbox.get()

    def _answer(self, question: registry_pb2.Question) -> None:
        response = self._author.answer(question.request, self._open[question.id])
        if response is not None:
            answer = registry_pb2.Answer(question_id=question.id, response=response)
            self._outbox.put(registry_pb2.AttachRequest(answers=registry_pb2.Answers(answers=[answer])))


class Dialled(backend_pb2_grpc.BackendServiceServicer):
    """The service that the hub dials."""

    def __init__(self, author: Author) -> None:
        self._author = author

    def GetParams(  # noqa: N802 - the contract's name
        self, request: backend_pb2.GetParamsRequest, context: grpc.ServicerContext
    ) -> backend_pb2.GetParamsResponse:
        given_up = threading.Event()
        context.add_callback(given_up.set)
        return self._author.answer(request, given_up) or backend_pb2.GetParamsResponse()


def serve(author: Author) -> tuple[grpc.Server, int]:
    server = grpc.server(ThreadPoolExecutor())
    backend_pb2_grpc.add_BackendServiceServicer_to_server(Dialled(author), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on port {port}", flush=True)  # noqa: T201
    return server, port


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--application-sets", nargs="*", default=[])
    parser.add_argument("--hub")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--register", action="store_true")
    options = parser.parse_args()
    author = Author(options.name)
    if options.hub is None:
        serve(author)[0].wait_for_termination()
        return
    metadata: Metadata = (("authorization", f"Bearer {options.token_file.read_text()}"),)
    info = registry_pb2.BackendInfo(
        name=options.name, instance=str(uuid.uuid4()), application_sets=options.application_sets
    )
    with grpc.insecure_channel(options.hub) as channel:
        if not options.register:
            Attached(author, info).run(channel, metadata)
            return
        server, port = serve(author)
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        request = registry_pb2.RegisterRequest(backend=info, address=f"127.0.0.1:{port}")
        while True:
            lease = stub.Register(request, metadata=metadata, timeout=10)
            if not server.wait_for_termination(lease.ttl.ToTimedelta().total_seconds() / 3):
                return


if __name__ == "__main__":
    main()
