"""``POST /quote``: what pictures will cost, and whether today's money is enough; nothing is started."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from api.auth import Caller
from api.problems import problems
from api.views import View
from imagery.contracts import ImageSize, JobOptions
from imagery.contracts.jobs import NotBoolean
from imagery.database import spend_report
from imagery.database.money import to_micro, to_usd
from imagery.database.tables import utc_day, utc_now
from imagery.principal import Principal
from imagery.services import Services, get_services

router = APIRouter(tags=["spend"])
_MOST_PICTURES = 10_000


class QuoteRequest(JobOptions):
    """Pictures that may be ordered: the options of a request, and how many."""

    count: Annotated[int, NotBoolean] = Field(1, ge=1, le=_MOST_PICTURES, description="Pictures.")


class Quote(View):
    """What these pictures cost by the prices of now. A picture that is reused costs nothing."""

    model: str
    image_size: ImageSize
    count: int
    price_usd: float = Field(description="Of one picture.")
    total_usd: float
    currency: Literal["USD"] = "USD"
    remaining_usd: float = Field(
        description="What the caller may still order today (UTC): its own money, or everybody's if less."
    )
    fits: bool = Field(description="The money is enough, and the price of one is not above `max_usd`.")


@router.post("/quote", responses=problems(400, 403, 422))
def get_quote(request: QuoteRequest, caller: Caller) -> Quote:
    """Get the price of pictures, and what is left of today's money.

    It takes the options of `POST /process`. Nothing is started and nothing is reserved.
    """
    services = get_services()
    price = services.settings.nano_banana.price_table.of_options(request)
    total, left = price * request.count, _remaining(services, caller)
    is_allowed = request.max_usd is None or price <= to_micro(request.max_usd)
    return Quote(
        model=services.settings.nano_banana.model,
        image_size=request.image_size,
        count=request.count,
        price_usd=to_usd(price),
        total_usd=to_usd(total),
        remaining_usd=to_usd(left),
        fits=total <= left and is_allowed,
    )


def _remaining(services: Services, caller: Principal) -> int:
    """Micro USD that the caller may still order today; open jobs count as what they may still cost."""
    user = services.users.get(caller.user_id)
    with services.database.read() as session:
        spent = spend_report.committed_usd(session, utc_day(), None)
        left = to_micro(services.settings.jobs.budget_usd_per_day) - to_micro(spent)
        if user is not None:
            usage = services.quotas.usage(session, user, utc_now())
            left = min(left, to_micro(usage.usd_per_day) - to_micro(usage.usd_today))
    return max(0, left)
