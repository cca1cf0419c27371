"""Version 1 of the HTTP contract."""

from fastapi import APIRouter

from api.auth import SECURITY
from api.problems import PROBLEM_RESPONSES
from api.v1 import (
    batches,
    circuit_breakers,
    guardrail,
    jobs,
    logs,
    me,
    metrics,
    process,
    session,
    spend,
    status,
    uploads,
)

router = APIRouter(prefix="/api/v1", dependencies=list(SECURITY), responses=PROBLEM_RESPONSES)
for module in (
    process,
    status,
    jobs,
    spend,
    uploads,
    guardrail,
    batches,
    metrics,
    logs,
    circuit_breakers,
    me,
    session,
):
    router.include_router(module.router)
