"""The language worker: Microsoft's worker library behind the gRPC channel of a Functions host.

The host starts it in the Python of ``drills.functions_host.python``, with the app as its folder. The library
does the work of each message; this loop only carries them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as library
import grpc
import worker_channel_pb2 as wire
import worker_channel_pb2_grpc as rpc

Handler = Callable[[Any], Awaitable[Any]]

_HANDLERS: dict[str, tuple[str, Handler]] = {
    "worker_init_request": ("worker_init_response", library.worker_init_request),
    "functions_metadata_request": ("function_metadata_response", library.functions_metadata_request),
    "function_load_request": ("function_load_response", library.function_load_request),
    "invocation_request": ("invocation_response", library.invocation_request),
}


class Worker:
    """One stream to the host; invocations run beside each other, as in Microsoft's worker."""

    def __init__(self, host: str, request_id: str) -> None:
        self._properties = {"host": host, "protos": wire}
        self._request_id = request_id
        self._writing = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, channel: grpc.aio.Channel, worker_id: str) -> None:
        """Answer the host until it ends the worker or is gone."""
        self._stream = rpc.FunctionRpcStub(channel).EventStream()
        await self._send(start_stream=wire.StartStream(worker_id=worker_id))
        async for message in self._stream:
            kind = message.WhichOneof("content")
            if kind == "worker_terminate":
                return
            if kind == "worker_status_request":
                await self._send(worker_status_response=wire.WorkerStatusResponse())
            elif kind == "invocation_request":
                task = asyncio.create_task(self._answer(kind, message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            elif kind in _HANDLERS:
                await self._answer(kind, message)

    async def _answer(self, kind: str, message: Any) -> None:
        response, handler = _HANDLERS[kind]
        answer = await handler(SimpleNamespace(request=message, properties=self._properties))
        await self._send(**{response: answer})

    async def _send(self, **content: Any) -> None:
        # a stream takes one message at a time
        async with self._writing:
            await self._stream.write(wire.StreamingMessage(request_id=self._request_id, **content))


async def work(chosen: argparse.Namespace) -> None:
    """Connect to the host and serve it."""
    library.start_threadpool_executor()
    longest = chosen.functions_grpc_max_message_length
    options = [("grpc.max_send_message_length", longest), ("grpc.max_receive_message_length", longest)]
    async with grpc.aio.insecure_channel(f"{chosen.host}:{chosen.port}", options=options) as channel:
        # a host that was killed breaks the stream
        with contextlib.suppress(grpc.aio.AioRpcError):
            await Worker(chosen.host, chosen.request_id).serve(channel, chosen.worker_id)


def main() -> None:
    """Serve the host that the command line names. The process ends with it, whatever still runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workerId", dest="worker_id", required=True)
    parser.add_argument("--requestId", dest="request_id", required=True)
    parser.add_argument("--functions-grpc-max-message-length", type=int, default=-1)
    chosen, _ = parser.parse_known_args()
    # the app's folder, not this one, is where the app imports from
    sys.path[0] = str(Path.cwd())
    asyncio.run(work(chosen))
    sys.stdout.flush()
    # threads of the pool may be in a call that takes minutes: nobody waits for its answer any more
    os._exit(0)


if __name__ == "__main__":
    main()
