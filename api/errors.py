"""Every error as RFC 9457 ``application/problem+json``, mapped in this one place."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from imagery.contracts import GuardrailReport, Problem
from imagery.storage import BlobNameError, BlobNotFoundError, StorageError
from imagery.telemetry.logs import get_logger

PROBLEM_JSON = "application/problem+json"
_log = get_logger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_REFUSAL_STATUS = {
    "file_too_large": 413,
    "too_many_pixels": 413,
    "image_too_large": 413,
    "unsupported_image_type": 415,
    "content_type_mismatch": 415,
}


class ApiError(Exception):
    """An answer other than success: ``status``, a stable ``code``, and a sentence with the way out."""

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


def refusal(report: GuardrailReport) -> ApiError:
    """The error of an image that the guardrail refused."""
    code = report.code or "rejected"
    checks = [check.to_json() for check in report.checks if not check.passed]
    return ApiError(_REFUSAL_STATUS.get(code, 422), code, report.message, errors=checks)


def job_not_found(job_id: str) -> ApiError:
    """There is no such job, or it is somebody else's."""
    return ApiError(404, "job_not_found", f"There is no job '{job_id[:100]}'.")


def _answer(error: ApiError) -> JSONResponse:
    body = error.problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, error.problem.status, headers=error.headers, media_type=PROBLEM_JSON)


async def _api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _answer(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in each["loc"][1:]), "message": each["msg"]}
        for each in error.errors()
    ]
    summary = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    return _answer(ApiError(422, "validation_error", summary or "The request is not valid.", errors=errors))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    headers = dict(error.headers) if error.headers else None
    return _answer(ApiError(error.status_code, code, str(error.detail), headers=headers))


async def _storage(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, BlobNameError):
        return _answer(ApiError(422, error.code, f"The blob name is not accepted: {error}."))
    if isinstance(error, BlobNotFoundError):
        return _answer(ApiError(404, error.code, "The blob does not exist."))
    _log.error("storage_error", error=str(error))
    return _answer(ApiError(503, "storage_unavailable", "Storage does not answer. Try again."))


def unexpected(error: Exception) -> JSONResponse:
    """The answer to what nobody foresaw: logged in full, told without internals."""
    _log.error("internal_error", exc_info=error)
    return _answer(ApiError(500, "internal_error", "Something went wrong on our side. Try again."))


def install(app: FastAPI) -> None:
    """Make every foreseen error of ``app`` a problem; ``middleware.LastResort`` sees to the others."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StorageError, _storage)
