"""A backend on the bare stubs that sends an answer of any size, whatever the hub accepts: ``heedless.py NAME …``.

To an ApplicationSet named ``large`` it answers with ``--bytes``, to any other with one set. Each question leaves a line
in the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import grpc
import uvloop
from appset_hub.v1 import registry_pb2, registry_pb2_grpc

_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


async def attach(options: argparse.Namespace) -> None:
    """Answer until the stream ends."""
    metadata = (("authorization", f"Bearer {options.token_file.read_text().strip()}"),)
    async with grpc.aio.insecure_channel(options.hub, options=_UNLIMITED) as channel:
        call = registry_pb2_grpc.RegistryServiceStub(channel).Attach(metadata=metadata)
        info = registry_pb2.BackendInfo(name=options.name, instance="heedless")
        await call.write(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=info)))
        while isinstance(message := await call.read(), registry_pb2.AttachResponse):
            for question in message.questions.questions:
                await _answer(call, question, options)


async def _answer(call: Any, question: Any, options: argparse.Namespace) -> None:
    name = question.request.application_set_name
    with options.journal.open("a") as journal:
        journal.write(f"{name} {time.monotonic()}\n")
    sets = [{"name": "a", "padding": "x" * options.bytes}] if name == "large" else [{"name": "a"}]
    answers = registry_pb2.AttachRequest()
    answers.answers.answers.add(question_id=question.id).response.parameters_json = json.dumps(sets).encode()
    await call.write(answers)


async def serve(options: argparse.Namespace) -> None:
    """Attach again and again, as clients do."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await attach(options)
        await asyncio.sleep(0.2)


def main() -> None:
    """Serve until SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--hub", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--bytes", type=int, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
