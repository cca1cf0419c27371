"""The headers of a call for a stage: until when it may take, and how long its caller waits."""

from __future__ import annotations

import re
import time

from pydantic import BaseModel, Field

# what a call without a deadline gets, and the most that one gets
_DEFAULT_S, _LONGEST_S = 600.0, 7 * 86_400.0
# ingress ends a request at 240 s
_LONGEST_WAIT_S = 220.0
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)


class StageCall(BaseModel):
    """``X-Deadline`` in seconds since 1970; ``Prefer: wait=N`` (RFC 7240) in seconds."""

    x_deadline: float | None = Field(None, allow_inf_nan=False)
    x_request_id: str = Field("", max_length=100)
    prefer: str = Field("", max_length=1000)

    @property
    def left_s(self) -> float:
        """Seconds that the work may take from now on."""
        if self.x_deadline is None:
            return _DEFAULT_S
        return min(self.x_deadline - time.time(), _LONGEST_S)

    @property
    def wait_s(self) -> float | None:
        """Seconds that the caller waits before it takes a 202. Returns None if it wants the end only."""
        found = _WAIT.search(self.prefer)
        return min(float(found[1]), _LONGEST_WAIT_S) if found else None
