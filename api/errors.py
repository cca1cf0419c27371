"""Every error as RFC 9457 ``application/problem+json``, mapped in this one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.problems import PROBLEM_JSON
from imagery.contracts import GuardrailReport, Problem
from imagery.database.quotas import QuotaExceededError
from imagery.guardrail.content_safety import ContentSafetyUnavailableError
from imagery.guardrail.sandbox import SandboxError
from imagery.safe_http import RefusedUrlError
from imagery.storage import BlobNameError, BlobNotFoundError, StorageError
from imagery.telemetry.logs import get_logger
from imagery.webhooks import SigningKeyError

_log = get_logger(__name__)
_TRY_AGAIN_S = "5"
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_REJECTION_STATUS = {
    "file_too_large": 413,
    "too_many_pixels": 413,
    "image_too_large": 413,
    "unsupported_image_type": 415,
    "content_type_mismatch": 415,
}


class ApiError(Exception):
    """An error for the caller: HTTP ``status``, a stable ``code``, what is wrong and what to do about it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        job_id: str | None = None,
        errors: Sequence[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            code=code,
            job_id=job_id,
            errors=list(errors) if errors else None,
        )
        self.headers = headers

    @property
    def code(self) -> str:
        """The problem's code."""
        return self.problem.code


def rejection(report: GuardrailReport) -> ApiError:
    """The error of an image that the guardrail rejected."""
    code = report.code or "rejected"
    checks = [check.to_json() for check in report.checks if check.passed is False]
    return ApiError(_REJECTION_STATUS.get(code, 422), code, report.message, errors=checks)


def invalid(found: Sequence[Mapping[str, Any]]) -> ApiError:
    """The error of fields that pydantic rejects: its ``errors()``, each with ``loc`` and ``msg``."""
    errors = [
        {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in found
    ]
    summary = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    return ApiError(422, "validation_error", summary or "The request is not valid.", errors=errors)


def job_not_found(job_id: str) -> ApiError:
    """The error of a job that does not exist, or that another user owns."""
    return ApiError(404, "job_not_found", f"There is no job '{job_id[:100]}'.")


def problem_response(error: ApiError) -> JSONResponse:
    """The response that carries the problem of ``error``."""
    body = error.problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, error.problem.status, headers=error.headers, media_type=PROBLEM_JSON)


async def _api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return problem_response(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # the first part says where the field was: in the body, the query, the path or a header
    return problem_response(invalid([{**each, "loc": each["loc"][1:]} for each in error.errors()]))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    headers = dict(error.headers) if error.headers else {}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods(request) or ["GET"])}
    return problem_response(ApiError(error.status_code, code, str(error.detail), headers=headers or None))


def _methods(request: Request) -> list[str]:
    """All methods of the request's path: the framework names only those of the first route."""
    path, found = request.scope["path"], set[str]()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(str(route.path))[0].match(path):
            found |= route.methods
    return sorted(found - {"HEAD"})


async def _storage(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, BlobNameError):
        return problem_response(ApiError(422, error.code, f"The blob name is not valid: {error}."))
    if isinstance(error, BlobNotFoundError):
        return problem_response(ApiError(404, error.code, "The blob does not exist. Upload it first."))
    _log.error("storage_error", error=str(error))
    return problem_response(
        ApiError(503, "storage_unavailable", "The storage is not available. Try again in a moment.")
    )


async def _quota(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QuotaExceededError)
    headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
    return problem_response(ApiError(402 if error.is_money else 429, error.code, str(error), headers=headers))


async def _guardrail(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SandboxError | ContentSafetyUnavailableError)
    return problem_response(ApiError(503, error.code, str(error), headers={"Retry-After": _TRY_AGAIN_S}))


async def _callback(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusedUrlError):
        return problem_response(ApiError(422, error.code, f"The callback URL is not accepted: {error}."))
    return problem_response(ApiError(422, SigningKeyError.code, str(error)))


def unexpected(error: Exception) -> JSONResponse:
    """The response to an unforeseen error, which is logged in full and described without internals."""
    _log.error("internal_error", exc_info=error)
    return problem_response(
        ApiError(
            500,
            "internal_error",
            "The server failed on this request. Try again; if it fails again, report the X-Request-Id.",
        )
    )


def install(app: FastAPI) -> None:
    """Make every foreseen error of ``app`` a problem; ``middleware.LastResort`` handles the others."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StorageError, _storage)
    app.add_exception_handler(QuotaExceededError, _quota)
    app.add_exception_handler(RefusedUrlError, _callback)
    app.add_exception_handler(SigningKeyError, _callback)
    app.add_exception_handler(SandboxError, _guardrail)
    app.add_exception_handler(ContentSafetyUnavailableError, _guardrail)
