"""``/circuit-breakers``: which dependency is called now, and the operator's hand on the switch."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Caller, Operator
from api.problems import problems
from api.views import View
from imagery.database.circuits import CircuitState, GuardedDependency
from imagery.services import get_services

router = APIRouter(prefix="/circuit-breakers", tags=["operations"])


class CircuitStatus(View):
    """One circuit. While it is open the dependency is not called, and jobs wait for the next probe."""

    dependency: GuardedDependency
    state: CircuitState
    forced: bool = Field(description="Opened by hand: it stays open until it is closed by hand.")
    failures: int = Field(description="Failures in a row.")
    last_error: str | None = None
    changed_at: datetime | None = None
    changed_by: str | None = Field(default=None, description="User id, where it was changed by hand.")
    probe_at: datetime | None = Field(default=None, description="When a probe is let through.")


class CircuitChange(BaseModel):
    """`open`: no calls until it is closed by hand. `closed`: calls go through again, at once."""

    state: Literal["open", "closed"]


@router.get("", response_description="The circuit breakers.")
def list_circuit_breakers(_: Caller) -> list[CircuitStatus]:
    """List the circuit breaker of each dependency."""
    return [CircuitStatus.model_validate(each) for each in get_services().circuits.states()]


@router.post("/{dependency}", responses=problems(400, 403, 422))
def set_circuit_breaker(
    dependency: GuardedDependency, request: CircuitChange, caller: Operator
) -> CircuitStatus:
    """Open or close a circuit by hand. Only operators may do this."""
    circuits = get_services().circuits
    change = circuits.open_by_hand if request.state == "open" else circuits.close_by_hand
    return CircuitStatus.model_validate(change(dependency, caller.user_id))
