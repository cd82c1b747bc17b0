"""A backend on the bare stubs: it sends what the SDK would never let out."""

from __future__ import annotations

import argparse
import base64
import json
import queue
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from appset_hub.v1 import backend_pb2, registry_pb2, registry_pb2_grpc
from author import act, read_script

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
RETRY_S = 0.02


def response_of(script: dict[str, Any], parameters: dict[str, Any]) -> backend_pb2.GetParamsResponse:
    """Return the response that the script orders, however wrong."""
    match script["do"]:
        case "raw":
            return backend_pb2.GetParamsResponse(parameters_json=base64.b64decode(script["base64"]))
        case "huge":
            size = script["bytes"]
            return backend_pb2.GetParamsResponse(parameters_json=b'[{"name":"x","text":"' + b"x" * size + b'"}]')
        case "not-modified":
            return backend_pb2.GetParamsResponse(not_modified=True, digest="of-nothing")
        case _:
            return backend_pb2.GetParamsResponse(parameters_json=json.dumps(act(script, parameters)).encode())


class Attached:
    """One stream: takes questions, and does with each what the script orders."""

    def __init__(self, hub: str, token: str, script: Path, info: registry_pb2.BackendInfo) -> None:
        self._script = script
        self._info = info
        self._channel = grpc.insecure_channel(hub, options=UNLIMITED)
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    def run(self) -> None:
        """Serve until the stream ends."""
        outbox: queue.SimpleQueue[registry_pb2.AttachRequest | None] = queue.SimpleQueue()
        outbox.put(registry_pb2.AttachRequest(hello=registry_pb2.Hello(backend=self._info)))
        stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        stream = stub.Attach(iter(outbox.get, None), metadata=self._metadata)
        try:
            for message in stream:
                if message.WhichOneof("kind") == "drain":
                    outbox.put(registry_pb2.AttachRequest(leaving=registry_pb2.Leaving()))
                for question in message.questions.questions:
                    threading.Thread(target=self._answer, args=(question, outbox, stream), daemon=True).start()
        except grpc.RpcError as error:
            print("the stream ended:", error.code(), error.details(), flush=True)  # noqa: T201
        finally:
            outbox.put(None)
            self._channel.close()

    def _answer(self, question: Any, outbox: Any, stream: Any) -> None:
        script = read_script(self._script)
        answer = registry_pb2.Answer(question_id=question.id)
        match script["do"]:
            case "failure":
                answer.failure.code = script["code"]
                answer.failure.message = script["message"]
            case "no-outcome":
                pass
            case "wrong-id":
                answer.question_id += 1_000_000
                answer.response.parameters_json = b"[]"
            case "close":
                stream.cancel()
                return
            case _:
                parameters = json.loads(question.request.input_parameters_json or b"{}")
                answer.response.CopyFrom(response_of(script, parameters))
        answers = [answer, answer] if script.get("twice") else [answer]
        outbox.put(registry_pb2.AttachRequest(answers=registry_pb2.Answers(answers=answers)))


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--name", "--hub", "--token-file", "--application-sets"):
        parser.add_argument(flag, default="")
    parser.add_argument("--script", type=Path, required=True)
    options = parser.parse_args()
    token = Path(options.token_file).read_text().strip() if options.token_file else ""
    info = registry_pb2.BackendInfo(
        name=options.name,
        instance=f"raw-{time.time_ns()}",
        application_sets=[options.application_sets] if options.application_sets else [],
    )
    while True:
        Attached(options.hub, token, options.script, info).run()
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
