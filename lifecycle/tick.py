"""The parts of a timer's tick, each with a time limit.

A function that passes functionTimeout takes its worker with it, and the paid calls of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
# two or three parts make a tick; host.json gives a function half an hour
PART_S = 150.0


async def within_limit(part: str, work: Coroutine[Any, Any, int]) -> int:
    """The result of ``work``; 0 where it is cut off, because the next tick goes on where it stood."""
    try:
        async with asyncio.timeout(PART_S):
            return await work
    except TimeoutError:
        _log.warning("tick_cut_off", part=part, limit_s=PART_S)
        return 0
