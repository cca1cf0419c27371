"""Version 1 of the HTTP contract."""

from fastapi import APIRouter

from api.auth import SECURITY
from api.problems import problems
from api.v1 import (
    batches,
    circuit_breakers,
    guardrail,
    jobs,
    logs,
    me,
    metrics,
    process,
    provenance,
    quote,
    session,
    spend,
    spend_table,
    status,
    uploads,
)

router = APIRouter(prefix="/api/v1", dependencies=list(SECURITY), responses=problems(401, 411, 413, 500, 503))
for module in (
    process,
    status,
    jobs,
    quote,
    spend,
    spend_table,
    uploads,
    guardrail,
    provenance,
    batches,
    metrics,
    logs,
    circuit_breakers,
    me,
):
    router.include_router(module.router)

# signing in and out needs no credential
open_router = APIRouter(prefix="/api/v1", responses=problems(403, 411, 413, 500))
open_router.include_router(session.router)
