"""How often, and after which waits, what failed is tried again: one table for all dependencies.

=============== ============================================ ====================== =====================
rule            what is tried again                          how it waits           until
=============== ============================================ ====================== =====================
``gpu``         a GPU stage that failed or took too long     durable retry policy   attempts, deadline
``gpu_replica`` no replica answers (yet)                     durable timers         the job's deadline
``nano_banana`` 503, no connection: certainly not charged    durable retry policy   attempts, deadline
``records``     our own database and storage                 durable retry policy   attempts
``callback``    a callback URL that does not take it         durable timers         the callback's lifetime
=============== ============================================ ====================== =====================

A wait that a server asks for (429, Retry-After) is kept as it is, on a durable timer. What may have been
paid without an answer is in no rule: nothing repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagery.contracts import RetryPolicy
from imagery.settings import Settings


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
        """As the settings have them."""
        jitter = settings.retry_jitter
        return cls(
            gpu=RetryPolicy(
                first_s=settings.gpu_retry_first_s,
                coefficient=settings.gpu_retry_coefficient,
                cap_s=settings.gpu_retry_cap_s,
                attempts=settings.gpu_retry_attempts,
                jitter=jitter,
            ),
            gpu_replica=RetryPolicy(
                first_s=settings.gpu_replica_first_s,
                coefficient=settings.gpu_replica_coefficient,
                cap_s=settings.gpu_replica_cap_s,
                attempts=settings.max_waits,
                jitter=jitter,
            ),
            nano_banana=RetryPolicy(
                first_s=settings.nano_banana_retry_first_s,
                coefficient=settings.nano_banana_retry_coefficient,
                cap_s=settings.nano_banana_retry_cap_s,
                attempts=settings.nano_banana_retry_attempts,
                jitter=jitter,
            ),
            records=RetryPolicy(
                first_s=1.0, coefficient=2.0, cap_s=30.0, attempts=settings.records_retry_attempts
            ),
            callback=RetryPolicy(
                first_s=settings.callback_retry_first_s,
                coefficient=settings.callback_retry_coefficient,
                cap_s=settings.callback_retry_cap_s,
                attempts=settings.callback_max_attempts,
                jitter=jitter,
            ),
        )
