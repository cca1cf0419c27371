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
):
    router.include_router(module.router)

# signing in and out needs no credential
open_router = APIRouter(prefix="/api/v1", responses=PROBLEM_RESPONSES)
open_router.include_router(session.router)
