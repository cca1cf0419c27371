"""A stand-in for the paid image API: the same HTTP shape, a bill, and a fault menu.

``python -m local.nano_banana_simulator --port 8090``. Control side: ``GET`` and ``DELETE
/_simulator/bill``; ``GET``, ``POST`` and ``DELETE /_simulator/faults``; ``GET /healthz``. The control side
serves this machine alone, and no path serves web pages of other sites.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import io
import json
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.callers import CallersGuard
from local.nano_banana_answers import BILLED, UNBILLED, error, rate_limited, usual
from local.nano_banana_bill import Bill
from local.nano_banana_faults import FaultError, ProviderFault, ProviderFaults
from local.nano_banana_scene import compose, scene_size

_MAX_BODY = 20 * 1024 * 1024
_MAX_PIXELS = 50_000_000
_RATIOS = {"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"}
_SIZES = {"1K", "2K", "4K"}
_VERSIONS = {"v1", "v1beta"}
_MODELS = {"gemini-3.1-flash-image", "gemini-nano-banana-2.1", "gemini-3-pro-image"}


class BadRequestError(Exception):
    """The real API would refuse this request."""


@dataclass(frozen=True)
class PictureOrder:
    """A valid request."""

    prompt: str
    cutout: Image.Image
    size: tuple[int, int]


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulator behaves; ``hang_s`` bounds the time-out faults."""

    price_usd: float = 0.08
    latency_s: float = 0.5
    hang_s: float = 600.0
    bill_file: Path | None = None
    workers: int = 2


class Simulator:
    """The routes and what they share."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self._bill = Bill(options.price_usd, options.bill_file)
        self._faults = ProviderFaults()
        self._pool = ThreadPoolExecutor(options.workers, thread_name_prefix="compose")

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/{version}/models/{call}", self.generate, methods=["POST"]),
                Route("/{version}/models/{model}", self.describe, methods=["GET"]),
                Route("/_simulator/bill", self.bill, methods=["GET", "DELETE"]),
                Route("/_simulator/faults", self.faults, methods=["GET", "POST", "DELETE"]),
                Route("/healthz", self.healthz),
            ],
            middleware=[Middleware(CallersGuard)],
        )

    async def healthz(self, _: Request) -> Response:
        """Always ready."""
        return JSONResponse({"state": "READY", "simulated": True, "price_usd": self._options.price_usd})

    async def bill(self, request: Request) -> Response:
        """What was called and billed."""
        if request.method == "DELETE":
            self._bill.clear()
        return JSONResponse(self._bill.report())

    async def faults(self, request: Request) -> Response:
        """Order, show or clear faults."""
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            try:
                self._faults.order(json.loads(await request.body()))
            except (FaultError, ValueError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self._faults.report())

    async def describe(self, request: Request) -> Response:
        """``models/{model}``, which is free."""
        model, standing = request.path_params["model"], self._faults.standing()
        if standing is not None:
            return UNBILLED[standing]()
        if not request.headers.get("x-goog-api-key"):
            return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        if not _is_known(request, model):
            return error(404, "NOT_FOUND", f"models/{model} is not found.")
        methods = ["generateContent", "countTokens"]
        return JSONResponse({"name": f"models/{model}", "supportedGenerationMethods": methods})

    async def generate(self, request: Request) -> Response:
        """``models/{model}:generateContent``."""
        model, _, method = request.path_params["call"].partition(":")
        if method != "generateContent" or not _is_known(request, model):
            return error(404, "NOT_FOUND", f"{request.url.path} is not found.")
        job_id = request.headers.get("x-job-id", "unknown")
        self._bill.call(job_id)
        if not request.headers.get("x-goog-api-key"):
            return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        fault = self._faults.take()
        try:
            # read to its end before any response: a server that responds early cuts the sender off
            body = await _body(request)
            refusal = await self._before_billing(request, fault)
            if refusal is not None:
                return refusal
            order = await asyncio.to_thread(_read, body)
        except BadRequestError as refused:
            return error(400, "INVALID_ARGUMENT", str(refused))
        await asyncio.sleep(self._options.latency_s)
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._pool, compose, order.cutout, order.prompt, order.size)
        self._bill.charge(job_id)
        answer = usual(model, picture)
        if fault is not None and fault.kind in BILLED:
            BILLED[fault.kind](answer, picture)
        return await self._after_billing(request, fault, answer)

    async def _before_billing(self, request: Request, fault: ProviderFault | None) -> Response | None:
        kind = fault.kind if fault else None
        if kind in UNBILLED:
            return UNBILLED[kind]()
        if fault is not None and kind == "429":
            return rate_limited(fault.retry_delay_s)
        if kind == "timeout_before_billing":
            await self._hang(request)
            return Response(status_code=504)
        return None

    async def _after_billing(
        self, request: Request, fault: ProviderFault | None, answer: dict[str, Any]
    ) -> Response:
        kind = fault.kind if fault else None
        body = json.dumps(answer).encode()
        if kind == "timeout_after_billing":
            await self._hang(request)
            return Response(status_code=504)
        if kind == "malformed_json":
            return Response(body[: len(body) // 2], media_type="application/json")
        if kind == "broken_connection":
            headers = {"Content-Length": str(len(body))}
            return StreamingResponse(_broken(body), media_type="application/json", headers=headers)
        return Response(body, media_type="application/json")

    async def _hang(self, request: Request) -> None:
        """Send nothing until the client disconnects, or ``hang_s`` has passed."""
        step_s, waited = 0.2, 0.0
        while waited < self._options.hang_s and not await request.is_disconnected():
            await asyncio.sleep(step_s)
            waited += step_s


def _is_known(request: Request, model: str) -> bool:
    return request.path_params["version"] in _VERSIONS and model in _MODELS


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    """Half of the body; the server closes the connection when the rest does not come."""
    yield body[: len(body) // 2]
    await asyncio.sleep(0.05)
    raise ConnectionResetError("the simulator breaks the connection here")


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            raise BadRequestError(f"Request payload size exceeds the limit: {_MAX_BODY} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _read(body: bytes) -> PictureOrder:
    try:
        return _order(json.loads(body))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadRequestError(f"Invalid JSON payload received: {error}") from error


def _order(body: dict[str, Any]) -> PictureOrder:
    parts = body["contents"][0]["parts"]
    prompt = " ".join(part["text"] for part in parts if "text" in part)
    inline = [part["inlineData"] for part in parts if "inlineData" in part]
    if not prompt or not inline:
        raise BadRequestError("contents.parts must hold a text and an inlineData")
    config = body.get("generationConfig", {}).get("imageConfig", {})
    ratio, size = config.get("aspectRatio", "1:1"), config.get("imageSize", "1K")
    if ratio not in _RATIOS or size not in _SIZES:
        raise BadRequestError(f"unsupported imageConfig: aspectRatio {ratio!r}, imageSize {size!r}")
    return PictureOrder(prompt, _image(inline[0]["data"]), scene_size(ratio, size))


def _image(data: str) -> Image.Image:
    try:
        # both alphabets are taken, as by the service
        plain = data.replace("-", "+").replace("_", "/")
        image = Image.open(io.BytesIO(base64.b64decode(plain, validate=True)))
        if image.width * image.height > _MAX_PIXELS:
            raise BadRequestError("the image has too many pixels")
        return image.convert("RGBA")
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise BadRequestError("Unable to process input image.") from error


def main(arguments: list[str]) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m local.nano_banana_simulator", description="A stand-in for the paid image API."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--price-usd", type=float, default=0.08, help="price of a picture")
    parser.add_argument("--latency-s", type=float, default=0.5, help="time a picture takes")
    parser.add_argument("--hang-s", type=float, default=600.0, help="longest wait of a time-out fault")
    parser.add_argument("--bill-file", type=Path, help="keep the bill in this file")
    given = parser.parse_args(arguments)
    options = SimulatorOptions(given.price_usd, given.latency_s, given.hang_s, given.bill_file)
    uvicorn.run(Simulator(options).app(), host=given.host, port=given.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
