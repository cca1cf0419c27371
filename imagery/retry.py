"""Retries: how often and after which waits, in one table for all dependencies.

=============== ============================================ ====================== =====================
rule            what is tried again                          how it waits           until
=============== ============================================ ====================== =====================
``gpu``         a GPU stage that failed or took too long     durable retry policy   attempts, deadline
``gpu_replica`` no replica responds (yet)                    durable timers         the job's deadline
``nano_banana`` 503, no connection: certainly not charged    durable retry policy   attempts, deadline
``records``     our own database and storage                 durable retry policy   attempts
``callback``    a callback URL that did not accept it        durable timers         the callback's lifetime
=============== ============================================ ====================== =====================

A wait that a server asks for (429, Retry-After) is kept on a durable timer; if the same is asked again and
again it grows, see ``imagery.backoff``. All waits are rounded up to what a storage queue can count. What may
have been paid without a response is in no rule: nothing repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagery.backoff import JITTER
from imagery.contracts import RetryPolicy
from imagery.settings import Settings

# waits that a server asks for (Retry-After), and for a replica: they grow, and the job's deadline ends them
# earlier, however long it is
MAX_WAITS = 200
_RECORDS_ATTEMPTS = 6


@dataclass(frozen=True)
class RetryRules:
    """The policies of one configuration."""

    gpu: RetryPolicy
    gpu_replica: RetryPolicy
    nano_banana: RetryPolicy
    records: RetryPolicy
    callback: RetryPolicy

    @classmethod
    def of(cls, settings: Settings) -> RetryRules:
        """The rules of the settings."""
        gpu, start = settings.gpu.retry, settings.gpu.start
        nano_banana, callback = settings.nano_banana.retry, settings.callbacks.retry
        return cls(
            gpu=RetryPolicy(
                first_s=gpu.first_s,
                coefficient=gpu.coefficient,
                cap_s=gpu.cap_s,
                attempts=gpu.attempts,
                jitter=JITTER,
            ),
            gpu_replica=RetryPolicy(
                first_s=start.first_s,
                coefficient=start.coefficient,
                cap_s=start.cap_s,
                attempts=MAX_WAITS,
                jitter=JITTER,
            ),
            nano_banana=RetryPolicy(
                first_s=nano_banana.first_s,
                coefficient=nano_banana.coefficient,
                cap_s=nano_banana.cap_s,
                attempts=nano_banana.attempts,
                jitter=JITTER,
            ),
            records=RetryPolicy(first_s=1.0, coefficient=2.0, cap_s=30.0, attempts=_RECORDS_ATTEMPTS),
            callback=RetryPolicy(
                first_s=callback.first_s,
                coefficient=callback.coefficient,
                cap_s=callback.cap_s,
                attempts=callback.attempts,
                jitter=JITTER,
            ),
        )
