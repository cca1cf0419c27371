"""Waits between attempts: exponential, capped, and spread by a seed, so that a replay computes the same."""

from __future__ import annotations

import hashlib
import math

from imagery.contracts import RetryPolicy

_MOST_DOUBLINGS = 60
_HALF_WORD = 0xFFFF
_LEAST_QUEUE_S = 2
_FIRST_LOOK_S, _GROWTH, _LONGEST_LOOK_S, _MOST_LOOKS = 1.0, 1.2, 60.0, 100
# share by which waits are spread, so that jobs do not come back all at once
JITTER = 0.2


def wait_s(policy: RetryPolicy, attempt: int, seed: str) -> float:
    """Seconds to wait after the failed ``attempt`` (from 1)."""
    wait = policy.first_s * policy.coefficient ** min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(min(wait, policy.cap_s) * spread(policy.jitter, f"{seed}/{attempt}"), policy.cap_s)


def queue_s(seconds: float) -> int:
    """Whole seconds to wait on a durable timer so that at least ``seconds`` pass.

    The timer is a message on an Azure Storage queue, which counts whole seconds: the extension cuts off the
    fraction of what is left when it sends the message, so that a wait of one second is none.
    """
    return max(_LEAST_QUEUE_S, math.ceil(seconds) + 1)


def patient_s(asked_s: float, attempt: int, allowed_s: float) -> float:
    """Seconds to wait before the next look when ``attempt`` (from 1) was told to come back in ``asked_s``.

    Grows while the same answer comes, up to a minute or a hundredth of the job's time (``allowed_s``): so a
    job that waits in a queue until its deadline looks fewer than ``imagery.retry.MAX_WAITS`` times.
    """
    longest = max(_LONGEST_LOOK_S, allowed_s / _MOST_LOOKS)
    grown = _FIRST_LOOK_S * _GROWTH ** min(attempt - 1, _MOST_DOUBLINGS)
    return max(asked_s, min(grown, longest))


def spread(jitter: float, seed: str) -> float:
    """A factor from 1 to 1 + ``jitter``, always the same one for a seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return 1 + jitter * int.from_bytes(digest[:2]) / _HALF_WORD
