"""Envoy's backend: one unary gRPC service whose answers are ready, as bytes or as a message with one value to set."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import grpc
import uvloop
from answers import next_change, sets_of
from appset_hub.malloc import expect_large_blocks
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Messages:
    """The messages of ``plugin.proto``, from its descriptor."""

    def __init__(self, descriptor: Path) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptor.read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.AddSerializedFile(file.SerializeToString())
        self.request, self.response = (
            message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.v1.GetParams{kind}"))
            for kind in ("Request", "Response")
        )


class Plugin:
    """Answers calls; responses leave as bytes."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._message = functools.cache(self._make)
        self._bytes = functools.cache(self._serialised)

    def _make(self, count: int) -> Any:
        return json_format.ParseDict({"output": {"parameters": sets_of(count)}}, self._messages.response())

    def _serialised(self, count: int) -> bytes:
        serialised: bytes = self._make(count).SerializeToString()
        return serialised

    async def get_params(self, request: Any, _: Any) -> bytes:
        """Answer one call."""
        fields = request.input.parameters.fields
        count = int(fields["sets"].string_value)
        if fields["change"].string_value != "yes":
            return self._bytes(count)
        message = self._message(count)
        message.output.parameters[0].fields["change"].string_value = next_change()
        serialised: bytes = message.SerializeToString()
        return serialised

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, with nothing to serialise."""
        method: Any = grpc.unary_unary_rpc_method_handler(
            self.get_params, request_deserializer=self._messages.request.FromString
        )
        return grpc.method_handlers_generic_handler("bench.v1.PluginService", {"GetParams": method})


async def serve(port: int, descriptor: Path) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=_UNLIMITED)
    server.add_generic_rpc_handlers((Plugin(Messages(descriptor)).handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """Serve one port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--descriptor", type=Path, required=True)
    options = parser.parse_args()
    expect_large_blocks()  # As the hub's backends do.
    uvloop.run(serve(options.port, options.descriptor))


if __name__ == "__main__":
    main()
