"""Backends for the hub, in one process: on the SDK as any author would write them, or on the bare stubs.

The bare ones have their answer ready, as Envoy's backend here has, and may have its digest ready too: what is measured
then is the hub.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import grpc
import uvloop
from answers import digest_of, ready_json, sets_for
from appset_hub import Answer, Backend, Connection, Function, Question, run
from appset_hub.malloc import expect_large_blocks
from appset_hub.v1 import backend_pb2, backend_pb2_grpc, registry_pb2, registry_pb2_grpc

_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_BATCH_BYTES = 3 * 1024 * 1024


async def sdk(question: Question) -> list[dict[str, str]]:
    """What an author writes."""
    if "sleep_ms" in question.parameters:
        await asyncio.sleep(int(question.parameters["sleep_ms"]) / 1000)
    return sets_for(question.parameters)


async def sdk_digest(question: Question) -> Answer:
    """What an author writes who knows a fingerprint of the answer without making it."""
    return Answer(parameters=sets_for(question.parameters), digest=f"sets-{question.parameters['sets']}")


async def ready_attached(name: str, hub: str, token: str, *, digests: bool) -> None:
    """Answer on a bare stream, a batch for a batch; with digests, an answer that the hub holds is not sent again."""
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(hub, options=_UNLIMITED) as channel:
        call = registry_pb2_grpc.RegistryServiceStub(channel).Attach(metadata=metadata)
        info = registry_pb2.BackendInfo(name=name, instance="bench")
        await call.write(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=info)))
        while isinstance(message := await call.read(), registry_pb2.AttachResponse):
            await _answer(call, message.questions.questions, digests=digests)


async def _answer(call: Any, questions: Any, *, digests: bool) -> None:
    size_bytes = 0
    batch = registry_pb2.AttachRequest()
    for question in questions:
        parameters = json.loads(question.request.input_parameters_json)
        digest = digest_of(parameters) if digests else ""
        if digest and digest == question.request.known_digest:
            response = batch.answers.answers.add(question_id=question.id).response
            response.digest, response.not_modified = digest, True
            size_bytes += len(digest)
            continue
        sets_json = ready_json(parameters)
        if size_bytes and size_bytes + len(sets_json) > _BATCH_BYTES:
            await call.write(batch)
            batch, size_bytes = registry_pb2.AttachRequest(), 0
        response = batch.answers.answers.add(question_id=question.id).response
        response.parameters_json, response.digest = sets_json, digest
        size_bytes += len(sets_json)
    if size_bytes:
        await call.write(batch)


class Ready(backend_pb2_grpc.BackendServiceServicer):
    """The same as a unary service."""

    async def GetParams(  # noqa: N802 - the contract's name
        self, request: backend_pb2.GetParamsRequest, _: Any
    ) -> backend_pb2.GetParamsResponse:
        """Answer one call."""
        return backend_pb2.GetParamsResponse(parameters_json=ready_json(json.loads(request.input_parameters_json)))


async def ready_dialled(listen: str) -> None:
    """Serve until cancelled."""
    server = grpc.aio.server(options=_UNLIMITED)
    backend_pb2_grpc.add_BackendServiceServicer_to_server(Ready(), server)
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


async def serve(options: argparse.Namespace) -> None:
    """Serve all names of the command line until cancelled."""
    expect_large_blocks()  # The SDK does; the bare backends, and Envoy's, shall not be worse off.
    async with asyncio.TaskGroup() as group:
        for name in options.names:
            token_file = options.tokens / name
            if options.kind.startswith("ready"):
                token, digests = token_file.read_text().strip(), options.kind == "ready-digest"
                group.create_task(
                    ready_attached(name, options.hub, token, digests=digests)
                    if options.hub
                    else ready_dialled(options.listen)
                )
                continue
            function: Function = sdk_digest if options.kind == "sdk-digest" else sdk
            connection = (
                Connection(hub=options.hub, token_file=token_file) if options.hub else Connection(listen=options.listen)
            )
            group.create_task(run(Backend(function=function, name=name), connection))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--kind", choices=("sdk", "sdk-digest", "ready", "ready-digest"), default="sdk")
    parser.add_argument("--hub", help="attach to this address")
    parser.add_argument("--listen", help="or be dialled at this one")
    parser.add_argument("--tokens", type=Path, help="the folder of the tokens' files")
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
