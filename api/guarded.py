"""Threads for work that waits for others: for a worker that reads an untrusted file, or for a name server.

The loop's own threads are few, and every request needs one for its key: if uploads waited there, no
caller could even get the status of a job.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import ParamSpec, TypeVar

from imagery.settings import get_settings

P = ParamSpec("P")
R = TypeVar("R")
_SPARE = 16


async def in_waiting_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do ``work`` in one of these threads: as many as files may wait, and a few more."""
    # the context goes along: log lines of the work carry the request's id
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_executor(), lambda: context.run(work, *args, **kwargs))


@lru_cache(maxsize=1)
def _executor() -> ThreadPoolExecutor:
    settings = get_settings()
    threads = settings.guardrail.sandbox.workers + settings.guardrail.sandbox.queue + _SPARE
    return ThreadPoolExecutor(threads, thread_name_prefix="waiting")
