"""``GET /spend``: what was paid and what was not; ``POST /jobs/{id}/spend/resolve`` for lost responses."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Caller, Operator
from api.errors import ApiError
from api.problems import problems
from api.v1.status import load
from api.views import JobStatus, View, job_status
from imagery.contracts import JobOptions, Stage
from imagery.database import spend_report
from imagery.database.ledger import NothingToResolveError
from imagery.database.money import SpendState, to_usd, usd_per_day
from imagery.database.savings import avoided
from imagery.database.tables import utc_day, utc_now
from imagery.principal import Principal
from imagery.services import get_services

router = APIRouter(tags=["spend"])
_MOST_UNKNOWN = 200


class SpendSums(View):
    """USD of one day or one user; `open_usd` is reserved or under way."""

    name: str
    pictures: int
    settled_usd: float
    unknown_usd: float
    open_usd: float


class ModelSpend(View):
    """USD of the pictures of one model and size class; `open_usd` is reserved or under way."""

    provider: str = Field(description="Empty for calls of earlier versions, as `model`.")
    model: str
    size: str = Field(description="The size class that came; the ordered one where nothing came.")
    pictures: int
    settled_usd: float
    unknown_usd: float
    open_usd: float


class LedgerSums(View):
    """Ledger entries in one state, and the calls made for them."""

    state: SpendState
    entries: int
    calls: int
    usd: float


class AvoidedSpend(View):
    """What was not paid: `failed`, `rejected`, `cancelled` before the paid stage, `budget`, `cache_hit`."""

    reason: str
    pictures: int
    usd: float


class UnknownPayment(View):
    """A call that may have been charged: look at the bill, then POST /jobs/{job_id}/spend/resolve."""

    job_id: str
    owner_id: str
    run: int
    sent_at: datetime | None
    usd: float
    note: str | None


class BudgetToday(View):
    """The budget of this UTC day: of all for operators, else the caller's own."""

    day: str
    budget_usd: float
    committed_usd: float = Field(description="Paid, reserved, under way or unknown.")
    remaining_usd: float


class SpendReport(View):
    """Days, users and models within `days`; outcomes, avoided and unknown since the beginning."""

    price_usd: float = Field(description="Of a picture of 1K. POST /quote has the others.")
    today: BudgetToday
    days: list[SpendSums]
    users: list[SpendSums]
    models: list[ModelSpend]
    outcomes: list[LedgerSums]
    avoided: list[AvoidedSpend]
    unknown: list[UnknownPayment]


class PaymentResolution(BaseModel):
    """What the operator found on the provider's bill."""

    charged: bool


@router.get("/spend", responses=problems(422))
def get_spend(caller: Caller, days: Annotated[int, Query(ge=1, le=400)] = 30) -> SpendReport:
    """Get what was spent, and what was not.

    Operators see the spend of all users, others their own.
    """
    services, scope = get_services(), caller.scope
    since = (utc_now() - timedelta(days=days - 1)).date().isoformat()
    price = services.settings.nano_banana.price_table.of_options(JobOptions())
    with services.database.read() as session:
        committed = spend_report.committed_usd(session, utc_day(), scope)
        return SpendReport(
            price_usd=to_usd(price),
            today=_today(caller, committed),
            days=[SpendSums.model_validate(each) for each in spend_report.by_day(session, since, scope)],
            users=[SpendSums.model_validate(each) for each in spend_report.by_user(session, since, scope)],
            models=[ModelSpend.model_validate(each) for each in spend_report.by_model(session, since, scope)],
            outcomes=[LedgerSums.model_validate(each) for each in spend_report.outcomes(session, scope)],
            avoided=[AvoidedSpend.model_validate(each) for each in avoided(session, scope)],
            unknown=[
                UnknownPayment.model_validate(each)
                for each in spend_report.unknown_calls(session, scope, _MOST_UNKNOWN)
            ],
        )


@router.post("/jobs/{job_id}/spend/resolve", responses=problems(400, 403, 404, 409, 422))
async def resolve_payment(job_id: str, resolution: PaymentResolution, caller: Operator) -> JobStatus:
    """Settle a paid call whose response was lost. Only operators may do this.

    Afterwards the job can be retried. Not charged: the reservation is released. Charged: it counts as
    spent, and a retry pays again.
    """
    await load(job_id, caller)
    try:
        await asyncio.to_thread(
            get_services().ledger.resolve,
            job_id,
            Stage.NANO_BANANA,
            charged=resolution.charged,
            by=caller.user_id,
        )
    except NothingToResolveError:
        detail = "No paid call of this job has an unknown outcome. There is nothing to settle."
        raise ApiError(409, "nothing_to_resolve", detail, job_id=job_id) from None
    return job_status(await load(job_id, caller))


def _today(caller: Principal, committed_usd: float) -> BudgetToday:
    settings = get_services().settings
    budget = settings.jobs.budget_usd_per_day
    if caller.scope is not None:
        budget = usd_per_day(get_services().users.get(caller.user_id), settings.jobs.quota.usd_per_day)
    return BudgetToday(
        day=utc_day(),
        budget_usd=budget,
        committed_usd=committed_usd,
        remaining_usd=max(0.0, round(budget - committed_usd, 6)),
    )
