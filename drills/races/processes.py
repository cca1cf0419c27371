"""Starts the same function in several fresh processes, all at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

from imagery.database.engine import Database, make_engine

_LIMIT_S = 540.0


def at_once(work: Callable[..., Any], orders: list[tuple[Any, ...]]) -> list[Any]:
    """The results of ``work(*order)`` of one process an order, none of which begins before all are ready.

    No engine is inherited.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(orders), mp_context=context) as pool:
        ready = manager.Barrier(len(orders))
        running = [pool.submit(_together, ready, work, order) for order in orders]
        return [each.result(_LIMIT_S) for each in running]


def _together(ready: Barrier, work: Callable[..., Any], order: tuple[Any, ...]) -> Any:
    ready.wait(_LIMIT_S)
    return work(*order)


def database_of(url: str) -> Database:
    """This process's own database."""
    return Database(make_engine(url))
