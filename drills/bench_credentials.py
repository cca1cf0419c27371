"""``make drill NAME=bench-credentials``: size and time of signing and reading, for each format and size.

Signing is done with a key in a file, as on a developer's machine: a key in Key Vault adds its own round trip.
Reading is done by the guardrail's worker, behind its walls. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from imagery.environment import read
from imagery.guardrail.examine import Guardrail
from imagery.provenance.credentials import CredentialsState
from imagery.provenance.manifest import Role, Source, Statement, Step, StepKind, prompt_hash
from imagery.provenance.sign import PictureSigner, make_picture_signer
from imagery.settings import Settings
from testbed.credentials import TYPES, camera, camera_photo, model_answer
from testbed.hostile_manifests import hostile_manifests
from testbed.pictures import picture


@dataclass(frozen=True)
class Row:
    """One format and size: bytes before and after, and the median of its times."""

    name: str
    bytes_before: int
    bytes_added: int
    sign_ms: float
    read_ms: float


def bench(name: str, data: bytes, content_type: str, world: World) -> Row:
    """Sign and read one picture, ``rounds`` times."""
    signed = world.signer.sign(data, content_type, world.statement)
    assert signed.credentials.manifest is not None
    sign_ms = _median(lambda: world.signer.sign(data, content_type, world.statement), world.rounds)
    read_ms = _median(lambda: world.guardrail.credentials(signed.data), world.rounds)
    return Row(name, len(data), len(signed.data) - len(data), sign_ms, read_ms)


@dataclass(frozen=True)
class World:
    """Who signs and who reads, and what is said."""

    signer: PictureSigner
    guardrail: Guardrail
    statement: Statement
    rounds: int


def statement(sources: dict[Role, tuple[bytes, str]], guardrail: Guardrail) -> Statement:
    """What the paid stage would say of a picture made from ``sources``."""
    steps = [Step(kind, "a model", "1.0") for kind in StepKind]
    found = [Source(role, data, kind, guardrail.credentials(data)) for role, (data, kind) in sources.items()]
    return Statement("bench", prompt_hash("a prompt"), "admitted", tuple(steps), tuple(found))


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 1)


def _encoded(kind: str, side: int) -> bytes:
    buffer = io.BytesIO()
    more = {"compress_level": 1} if kind == "PNG" else {}
    picture(side, side).save(buffer, kind, **more)
    return buffer.getvalue()


def hostile(guardrail: Guardrail) -> dict[str, object]:
    """How a hundred hostile manifests end, and the slowest of them."""
    states = dict.fromkeys(CredentialsState, 0)
    slowest, name = 0.0, ""
    for each in hostile_manifests():
        started = time.perf_counter()
        states[guardrail.credentials(each.data).state] += 1
        taken = (time.perf_counter() - started) * 1000
        if taken > slowest:
            slowest, name = taken, each.name
    return {"states": states, "slowest_ms": round(slowest, 1), "slowest": name}


def main(arguments: list[str]) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m drills bench-credentials", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 4096], help="sides in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = read(Settings, {"LOCAL_STORAGE_PATH": folder})
        signer, guardrail = make_picture_signer(settings), Guardrail(settings)
        assert signer is not None
        try:
            makers = camera()
            photo = camera_photo(makers)
            answer = model_answer(makers, ("inputTo", "image/jpeg", photo))
            plain = {Role.ANSWER: (_encoded("PNG", 1024), "image/png")}
            chain = {Role.ANSWER: (answer, "image/png"), Role.PHOTO: (photo, "image/jpeg")}
            rows = []
            for words, sources in (("", plain), (", chain of three", chain)):
                world = World(signer, guardrail, statement(sources, guardrail), chosen.rounds)
                for side in chosen.sides:
                    for kind, content_type in TYPES.items():
                        rows.append(bench(f"{kind} {side}{words}", _encoded(kind, side), content_type, world))
            found = hostile(guardrail)
        finally:
            guardrail.close()
    print(f"{'picture':28}{'bytes':>12}{'added':>9}{'sign ms':>10}{'read ms':>10}")
    for row in rows:
        print(f"{row.name:28}{row.bytes_before:12}{row.bytes_added:9}{row.sign_ms:10}{row.read_ms:10}")
    print(json.dumps({"rows": [asdict(row) for row in rows], "hostile": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
