"""The durable extension's full retry policy, of which the Python SDK exposes only a part."""

from __future__ import annotations

import azure.durable_functions as df

from imagery.backoff import queue_s, spread
from imagery.contracts import RetryPolicy


class ExponentialRetryOptions(df.RetryOptions):
    """Waits of first interval x coefficient^n up to a cap, none shorter; ``seed`` spreads the first one.

    The extension reads ``backoffCoefficient`` and ``maxRetryIntervalInMilliseconds`` from the same JSON
    (its ``RetryOptionsConverter``); a total time-out is left out on purpose, because the SDK counts
    attempts only and would wait for ever for one that the extension never schedules.
    """

    def __init__(self, policy: RetryPolicy, seed: str) -> None:
        first_s = policy.first_s * spread(policy.jitter, seed)
        super().__init__(queue_s(first_s) * 1000, policy.attempts)
        self._policy = policy

    def to_json(self) -> dict[str, str | int]:
        """The policy as the extension reads it."""
        options: dict[str, str | int] = super().to_json()
        options["backoffCoefficient"] = self._policy.coefficient  # type: ignore[assignment]
        options["maxRetryIntervalInMilliseconds"] = queue_s(self._policy.cap_s) * 1000
        return options
