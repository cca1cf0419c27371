"""Version 1 of the HTTP contract."""

from fastapi import APIRouter

from api.v1 import batches, guardrail, jobs, logs, metrics, process, status, uploads

router = APIRouter(prefix="/api/v1")
for module in (process, status, jobs, uploads, guardrail, batches, metrics, logs):
    router.include_router(module.router)
