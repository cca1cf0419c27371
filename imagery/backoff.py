"""Waits between attempts: exponential, capped, and spread by a seed, so that a replay computes the same."""

from __future__ import annotations

import hashlib

from imagery.contracts import RetryPolicy

_MOST_DOUBLINGS = 60
_HALF_WORD = 0xFFFF
# share by which waits are spread, so that jobs do not come back all at once
JITTER = 0.2


def wait_s(policy: RetryPolicy, attempt: int, seed: str) -> float:
    """Seconds to wait after the failed ``attempt`` (from 1)."""
    wait = policy.first_s * policy.coefficient ** min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(min(wait, policy.cap_s) * spread(policy.jitter, f"{seed}/{attempt}"), policy.cap_s)


def spread(jitter: float, seed: str) -> float:
    """A factor from 1 to 1 + ``jitter``, always the same one for a seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return 1 + jitter * int.from_bytes(digest[:2]) / _HALF_WORD
