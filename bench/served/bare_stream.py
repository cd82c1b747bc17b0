"""An attached stream without a hub: how many questions a second gRPC itself carries to the bare backend and back.

Prints its figures as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import uvloop
from appset_hub.v1 import backend_pb2, registry_pb2
from measure import cpu_s, peak_kib

_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_BATCHES = 4  # In flight at once, so that both ends have something to do.


class Driver:
    """The hub's end of the stream: a new question for each answer."""

    def __init__(self, in_flight: int, sets: int) -> None:
        self._in_flight = in_flight
        self._input = json.dumps({"sets": str(sets)}).encode()
        self._asked: dict[int, float] = {}
        self._number = 0
        self.attached = asyncio.Event()
        self.counting = False
        self.latencies_s: list[float] = []

    async def attach(self, _: Any, context: Any) -> None:
        """Ask for as long as the process lives."""
        await context.read()
        await context.write(registry_pb2.AttachResponse(welcome=registry_pb2.Welcome(max_in_flight=self._in_flight)))
        self.attached.set()
        batches = min(_BATCHES, self._in_flight)
        for _ in range(batches):
            await context.write(self._questions(self._in_flight // batches))
        while (message := await context.read()) is not grpc.aio.EOF:
            self._settle(message.answers.answers)
            await context.write(self._questions(len(message.answers.answers)))

    def handler(self) -> grpc.GenericRpcHandler:
        """The hub's service, but for the other calls."""
        method: Any = grpc.stream_stream_rpc_method_handler(
            self.attach, registry_pb2.AttachRequest.FromString, registry_pb2.AttachResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler("appset_hub.v1.RegistryService", {"Attach": method})

    def _questions(self, count: int) -> registry_pb2.AttachResponse:
        message = registry_pb2.AttachResponse()
        now_s = time.perf_counter()
        for _ in range(count):
            self._number += 1
            self._asked[self._number] = now_s
            request = backend_pb2.GetParamsRequest(application_set_name="bench", input_parameters_json=self._input)
            message.questions.questions.add(id=self._number, request=request)
        return message

    def _settle(self, answers: Any) -> None:
        now_s = time.perf_counter()
        for answer in answers:
            asked_s = self._asked.pop(answer.question_id)
            if self.counting and answer.response.parameters_json:
                self.latencies_s.append(now_s - asked_s)


async def run(options: argparse.Namespace) -> dict[str, float]:
    """Measure for so many seconds; returns the figures."""
    driver = Driver(options.in_flight, options.sets)
    server = grpc.aio.server(options=_UNLIMITED)
    server.add_generic_rpc_handlers((driver.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    program = Path(__file__).with_name("hub_backend.py")
    backend = await asyncio.create_subprocess_exec(
        *(sys.executable, program, "bare", "--kind", "ready"),
        *("--hub", f"127.0.0.1:{port}", "--tokens", options.tokens),
    )
    try:
        await asyncio.wait_for(driver.attached.wait(), 20)
        await asyncio.sleep(0.5)
        return await _measured(driver, backend.pid, options.seconds)
    finally:
        backend.kill()
        await backend.wait()
        await server.stop(None)


async def _measured(driver: Driver, backend: int, seconds: float) -> dict[str, float]:
    own_s, its_s, started_s = time.process_time(), cpu_s(backend), time.perf_counter()
    driver.counting = True
    await asyncio.sleep(seconds)
    driver.counting = False
    elapsed_s = time.perf_counter() - started_s
    latencies_s = sorted(driver.latencies_s)
    requests = len(latencies_s)
    return {
        "requests": requests,
        "seconds": elapsed_s,
        "p50_us": median(latencies_s) * 1e6,
        "p99_us": latencies_s[int(requests * 0.99)] * 1e6,
        "front_cpu_us": (time.process_time() - own_s) / requests * 1e6,
        "back_cpu_us": (cpu_s(backend) - its_s) / requests * 1e6,
        "front_peak_kib": peak_kib(0),
        "back_peak_kib": peak_kib(backend),
    }


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--sets", type=int, required=True)
    parser.add_argument("--tokens", required=True)
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
