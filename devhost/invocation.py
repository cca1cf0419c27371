"""Calls a function the way the Python worker does: sync ones in a bounded pool, async ones on the loop."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import azure.functions as func

from devhost.app import Function
from devhost.settings import HostSettings

T = TypeVar("T")


class InvocationContext(func.Context):
    """What a function can learn about its invocation."""

    def __init__(self, function: Function, directory: str) -> None:
        self._function = function
        self._directory = directory
        self._id = str(uuid.uuid4())
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        """Id of this call."""
        return self._id

    @property
    def function_name(self) -> str:
        """Name of the function."""
        return self._function.name

    @property
    def function_directory(self) -> str:
        """Folder of the app."""
        return self._directory

    @property
    def thread_local_storage(self) -> Any:
        """Storage of the calling thread."""
        return self._local

    @property
    def trace_context(self) -> Any:
        """None: this host has no trace."""
        return None

    @property
    def retry_context(self) -> Any:
        """None: this host has no function-level retry."""
        return None


class FunctionTimeoutError(Exception):
    """The function ran longer than ``functionTimeout`` of host.json."""


class FunctionExitError(Exception):
    """The function called ``sys.exit``."""


def exit_text(error: SystemExit) -> str:
    """What became of a function that called ``sys.exit``."""
    return f"sys.exit({error.code!r}) was called: in the cloud it ends the worker with all that runs there"


class Invoker:
    """Runs handlers, none longer than the function time-out.

    A sync handler can't be stopped: after its time-out nobody waits for it, but its thread is taken
    until it ends.
    """

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="function")
        self._client = client_binding(settings.base_url)
        timeout = settings.function_timeout
        self._timeout_s = timeout.total_seconds() if timeout else None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that async handlers run on."""
        self._loop = loop

    async def call(self, function: Function, value: Any) -> Any:
        """Call on the event loop's thread; sync handlers go to the pool. Raises what the function raises."""
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._call(function, value)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise FunctionTimeoutError(
                f"the time-out of {self._settings.function_timeout} was exceeded by {function.name}"
            ) from error

    async def _call(self, function: Function, value: Any) -> Any:
        arguments = {function.trigger_name: value}
        arguments |= dict.fromkeys(function.client_parameters, self._client)
        if function.takes_context:
            arguments["context"] = InvocationContext(function, str(self._settings.app_dir))
        if function.is_async:
            try:
                return await function.handler(**arguments)
            except SystemExit as error:
                raise FunctionExitError(exit_text(error)) from error
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: context.run(_call_sync, function, arguments)
        )

    def call_from_thread(self, function: Function, value: Any) -> Any:
        """Call from any other thread and wait for the result."""
        if self._loop is None:
            raise RuntimeError("the host has not started")
        return asyncio.run_coroutine_threadsafe(self.call(function, value), self._loop).result()

    def in_pool(self, work: Callable[[], T]) -> T:
        """Do ``work`` on one of the threads for sync handlers and wait for its result."""
        return self._pool.submit(work).result()

    def stop(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _call_sync(function: Function, arguments: dict[str, Any]) -> Any:
    try:
        return function.handler(**arguments)
    except SystemExit as error:
        # raised on the loop it would end the host
        raise FunctionExitError(exit_text(error)) from error


PREFIX = "/runtime/webhooks/durabletask"
_QUERY = "taskHub=local"


def management_urls(base_url: str, instance_id: str) -> dict[str, str]:
    """What a client can do with an instance, as the extension's responses to a start have it."""
    instance = f"{base_url}{PREFIX}/instances/{quote(instance_id)}"
    return {
        "id": instance_id,
        "statusQueryGetUri": f"{instance}?{_QUERY}",
        "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{_QUERY}",
        "terminatePostUri": f"{instance}/terminate?reason={{text}}&{_QUERY}",
        "rewindPostUri": f"{instance}/rewind?reason={{text}}&{_QUERY}",
        "purgeHistoryDeleteUri": f"{instance}?{_QUERY}",
        "restartPostUri": f"{instance}/restart?{_QUERY}",
        "suspendPostUri": f"{instance}/suspend?reason={{text}}&{_QUERY}",
        "resumePostUri": f"{instance}/resume?reason={{text}}&{_QUERY}",
    }


def client_binding(base_url: str) -> str:
    """The durable client binding, as JSON, that points at this host's management API."""
    root = f"{base_url}{PREFIX}"
    start = f"{root}/orchestrators/{{functionName}}[/{{instanceId}}]"
    return json.dumps(
        {
            "taskHubName": "local",
            "creationUrls": {
                "createNewInstancePostUri": start,
                "createAndWaitOnNewInstancePostUri": start,
            },
            "managementUrls": management_urls(base_url, "INSTANCEID"),
            "baseUrl": root,
            "rpcBaseUrl": f"{root}/",
            "requiredQueryStringParameters": _QUERY,
        }
    )
