"""Threads for work that takes its time, so that it takes none of the threads that every request needs.

Some waits for others: for a worker that reads an untrusted file, or for a name server. If uploads waited in
the loop's own threads, which are few, no caller could even get the status of a job. And one thread searches:
a search reads many rows, so that many at once would keep the database and the processors from everybody.
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
    return await _run_in(_waiting_threads(), work, *args, **kwargs)


async def in_search_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do one step of a search: the steps of all searches take turns."""
    return await _run_in(_search_thread(), work, *args, **kwargs)


async def _run_in(executor: ThreadPoolExecutor, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    # the context goes along: log lines of the work carry the request's id
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, lambda: context.run(work, *args, **kwargs))


@lru_cache(maxsize=1)
def _search_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="search")


@lru_cache(maxsize=1)
def _waiting_threads() -> ThreadPoolExecutor:
    settings = get_settings()
    threads = settings.guardrail.sandbox.workers + settings.guardrail.sandbox.queue + _SPARE
    return ThreadPoolExecutor(threads, thread_name_prefix="waiting")
