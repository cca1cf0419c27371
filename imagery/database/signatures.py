"""What a delivered picture says of itself, recorded with the result that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from imagery.contracts import Stage
from imagery.database.counters import Metric, count
from imagery.database.events import record
from imagery.database.tables import ImageJob
from imagery.provenance.credentials import CredentialsState, DeliveredCredentials

UNSIGNED = DeliveredCredentials.UNSIGNED.value


@dataclass(frozen=True)
class Signature:
    """State of a delivered picture's Content Credentials; None where it was delivered without ours.

    ``reason``: code and sentence of why it was. ``sources``: state of each picture it was made from, by role.
    ``is_untouched``: it is the provider's answer, with the provider's own credentials.
    """

    state: CredentialsState | None
    reason: tuple[str, str] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    is_untouched: bool = False

    @property
    def delivered(self) -> DeliveredCredentials:
        """What the job's status says of the picture."""
        if self.state is not None:
            return DeliveredCredentials(self.state)
        return DeliveredCredentials.UNTOUCHED if self.is_untouched else DeliveredCredentials.UNSIGNED


def record_signature(session: Session, job: ImageJob, stage: Stage, signature: Signature) -> None:
    """Count it and tell the job's log, in the transaction that records the result."""
    count(session, job.owner_id, Metric.SIGNED, signature.state or UNSIGNED)
    if signature.state is None:
        code, error = signature.reason or ("signing_failed", "")
        record(session, job, "delivered_unsigned", stage=stage, level="warning", error_code=code, error=error)
        return
    is_broken = signature.state is CredentialsState.BROKEN
    record(
        session,
        job,
        "picture_signed",
        stage=stage,
        level="warning" if is_broken else "info",
        credentials=signature.state.value,
        sources=dict(signature.sources),
    )
