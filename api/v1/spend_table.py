"""``GET /spend.csv``: the paid calls one by one, for a spreadsheet or a script."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.auth import Caller
from api.problems import Responses, problems
from imagery.database.paid_calls import PaidCall, paid_calls
from imagery.database.tables import utc_now
from imagery.services import get_services

router = APIRouter(tags=["spend"])
_CSV = "text/csv"
_MAX_ID = 2**31 - 1
_MOST = 10_000
_HEAD = [
    *("id", "day", "time", "job_id", "owner", "provider", "model"),
    *("ordered_size", "delivered_size", "state", "usd", "response_id"),
]
# how a cell begins that a spreadsheet runs as a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TABLE: Responses = {
    200: {
        "description": "The calls.",
        "content": {_CSV: {"schema": {"type": "string"}}},
        "headers": {"X-Last-Entry-ID": {"required": True, "schema": {"type": "string"}}},
    }
}


@router.get("/spend.csv", response_class=Response, responses={**_TABLE, **problems(422)})
def get_spend_table(
    caller: Caller,
    days: Annotated[int, Query(ge=1, le=400)] = 30,
    after: Annotated[int, Query(ge=0, le=_MAX_ID, description="Only calls with a greater id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Most calls of the answer.")] = _MOST,
) -> Response:
    """Get the paid calls as CSV, the oldest first.

    Operators see the calls of all users, others their own. Times are UTC. `usd` is what the call cost, or
    may cost while its `state` is open; a call that was released cost nothing. `X-Last-Entry-ID` is the next
    `after`; an answer with fewer calls than `limit` is the last. A cell that a spreadsheet would run as a
    formula begins with an apostrophe.
    """
    since = (utc_now() - timedelta(days=days - 1)).date().isoformat()
    with get_services().database.read() as session:
        calls = paid_calls(session, since, caller.scope, after=after, limit=limit)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="spend-since-{since}.csv"',
        "X-Last-Entry-ID": str(calls[-1].id if calls else after),
    }
    return Response(_table(calls), media_type=_CSV, headers=headers)


def _table(calls: list[PaidCall]) -> str:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(_HEAD)
    rows.writerows([_cell(each) for each in _row(call)] for call in calls)
    return text.getvalue()


def _row(call: PaidCall) -> list[str]:
    at = call.reserved_at
    return [
        str(call.id),
        f"{at:%Y-%m-%d}",
        f"{at:%H:%M:%S}",
        call.job_id,
        call.owner,
        call.provider,
        call.model,
        call.ordered_size,
        call.delivered_size,
        call.state.value,
        f"{call.micro_usd // 1_000_000}.{call.micro_usd % 1_000_000:06d}",
        call.response_id,
    ]


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
