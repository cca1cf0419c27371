"""A stand-in for the paid image API: the same HTTP shape, a bill, and a fault menu.

``python -m local.nano_banana_simulator --port 8090`` serves the paths of the Gemini API and of Vertex AI.
Control side: ``GET`` and ``DELETE /_simulator/bill``; ``GET``, ``POST`` and ``DELETE /_simulator/faults``;
``GET /_simulator/trust``; ``GET /healthz``. The control side serves this machine alone, and no path serves
web pages of other sites.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.callers import CallersGuard
from local.nano_banana_answers import BILLED, ERRORS, REFUSALS, Drawn, error, rate_limited, refusal, usual
from local.nano_banana_bill import Bill, Prices, PricesError
from local.nano_banana_doors import DEVELOPER, VERTEX, Door
from local.nano_banana_faults import FaultError, ProviderFault, ProviderFaults
from local.nano_banana_models import SIZES
from local.nano_banana_order import BadRequestError, PictureOrder, read_order
from local.nano_banana_scene import compose
from local.nano_banana_signing import PictureSigner

_MAX_BODY = 20 * 1024 * 1024
_VERTEX_PATH = "/{version}/projects/{project}/locations/{location}/publishers/google/models"


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulator behaves.

    ``hang_s`` bounds the time-out faults. ``access_token``: the one that Vertex's address takes; None: any.
    """

    prices: Prices = field(default_factory=Prices)
    latency_s: float = 0.5
    hang_s: float = 600.0
    bill_file: Path | None = None
    workers: int = 2
    access_token: str | None = None
    unsigned: bool = False
    chain_file: Path | None = None


class Simulator:
    """The routes and what they share."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self._bill = Bill(options.prices, options.bill_file)
        self._faults = ProviderFaults()
        self._signer = None if options.unsigned else PictureSigner(options.chain_file)
        self._pool = ThreadPoolExecutor(options.workers, thread_name_prefix="compose")

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/{version}/models/{call}", self.generate, methods=["POST"]),
                Route("/{version}/models/{model}", self.describe, methods=["GET"]),
                Route(_VERTEX_PATH + "/{call}", self.generate, methods=["POST"]),
                Route(_VERTEX_PATH + "/{model}", self.describe, methods=["GET"]),
                # where Google's client asks for a description
                Route("/{version}/publishers/google/models/{model}", self.describe, methods=["GET"]),
                Route("/_simulator/bill", self.bill, methods=["GET", "DELETE"]),
                Route("/_simulator/faults", self.faults, methods=["GET", "POST", "DELETE"]),
                Route("/_simulator/trust", self.trust),
                Route("/healthz", self.healthz),
            ],
            middleware=[Middleware(CallersGuard)],
        )

    async def healthz(self, _: Request) -> Response:
        """Always ready."""
        return JSONResponse({"state": "READY", "simulated": True, "price_usd": self._options.prices.usd})

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

    async def trust(self, _: Request) -> Response:
        """The root certificate of the signed pictures, in PEM."""
        if self._signer is None:
            return JSONResponse({"error": "the pictures are unsigned"}, 404)
        return Response(self._signer.root_pem, media_type="application/x-pem-file")

    async def describe(self, request: Request) -> Response:
        """A model's description, which is free."""
        door, model, standing = _door(request), request.path_params["model"], self._faults.standing()
        if standing is not None:
            return ERRORS[standing]()
        refused = door.stranger(request, self._options.access_token) or door.not_found(request, model)
        return refused or JSONResponse(door.description(model))

    async def generate(self, request: Request) -> Response:
        """``{model}:generateContent``."""
        door, (model, _, method) = _door(request), request.path_params["call"].partition(":")
        if method != "generateContent":
            return error(404, "NOT_FOUND", f"{request.url.path} is not found.")
        missing = door.not_found(request, model)
        if missing is not None:
            return missing
        job_id = request.headers.get("x-job-id", "unknown")
        self._bill.call(job_id)
        refused = door.stranger(request, self._options.access_token)
        return refused or await self._generate(request, door, model, job_id)

    async def _generate(self, request: Request, door: Door, model: str, job_id: str) -> Response:
        fault = self._faults.take()
        try:
            # read to its end before any response: a server that responds early cuts the sender off
            body = await _body(request)
            failure = await self._before_reading(request, fault)
            if failure is not None:
                return failure
            order = await asyncio.to_thread(read_order, body, model, is_vertex=door.is_vertex)
        except BadRequestError as bad:
            return error(400, "INVALID_ARGUMENT", str(bad))
        if fault is not None and fault.kind in REFUSALS:
            return JSONResponse(refusal(order, fault.kind))
        await asyncio.sleep(self._options.latency_s)
        answer = await self._billed_answer(job_id, order, fault)
        return await self._after_billing(request, fault, answer)

    async def _billed_answer(
        self, job_id: str, order: PictureOrder, fault: ProviderFault | None
    ) -> dict[str, Any]:
        kind = fault.kind if fault else ""
        if kind == "smaller_size":
            order = replace(order, size=SIZES[0])
        loop = asyncio.get_running_loop()
        drawn = await loop.run_in_executor(self._pool, self._draw, order)
        self._bill.charge(job_id, order.model, order.size, order.labels)
        answer = usual(order, drawn.signed)
        if kind in BILLED:
            BILLED[kind](answer, drawn)
        return answer

    def _draw(self, order: PictureOrder) -> Drawn:
        signer = self._signer

        def sign(picture: bytes, content_type: str) -> bytes:
            return signer.sign(picture, content_type, order.model) if signer else picture

        plain = compose(order.images[0], order.prompt, order.pixels, order.seed)
        return Drawn(plain, sign(plain, "image/png"), sign)

    async def _before_reading(self, request: Request, fault: ProviderFault | None) -> Response | None:
        kind = fault.kind if fault else None
        if kind in ERRORS:
            return ERRORS[kind]()
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


def _door(request: Request) -> Door:
    return VERTEX if "/publishers/google/" in request.url.path else DEVELOPER


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


def main(arguments: list[str]) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m local.nano_banana_simulator", description="A stand-in for the paid image API."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--price-usd", type=float, default=0.08, help="price of a picture (%(default)s)")
    parser.add_argument(
        "--prices", default="", help="other prices by model and size: 'gemini-3-pro-image/4K=0.24 ...'"
    )
    parser.add_argument("--latency-s", type=float, default=0.5, help="time a picture takes")
    parser.add_argument("--hang-s", type=float, default=600.0, help="longest wait of a time-out fault")
    parser.add_argument("--bill-file", type=Path, help="keep the bill in this file")
    parser.add_argument("--access-token", help="the bearer token that Vertex's address takes (any)")
    parser.add_argument("--unsigned", action="store_true", help="pictures without Content Credentials")
    parser.add_argument("--chain-file", type=Path, help="keep key and certificates of the signatures here")
    given = parser.parse_args(arguments)
    try:
        prices = Prices.of(given.prices, given.price_usd)
    except PricesError as error:
        parser.error(str(error))
    options = SimulatorOptions(
        prices=prices,
        latency_s=given.latency_s,
        hang_s=given.hang_s,
        bill_file=given.bill_file,
        access_token=given.access_token,
        unsigned=given.unsigned,
        chain_file=given.chain_file,
    )
    uvicorn.run(Simulator(options).app(), host=given.host, port=given.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
