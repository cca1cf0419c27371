"""The ways of a job that are broken at every point."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from drills.faults.points import Point, Way
from imagery.contracts import JobOutput, JobState

REMBG, UPSCALE = "/v1/remove-background", "/v1/upscale"
# so often that a call repeated after a crash gets the same answer
_ALWAYS = 6


class Entrance(Enum):
    """How a job comes in."""

    ROW = "its row is there and its orchestration is started: what a submission leaves behind"
    HTTP = "POST /process with an Idempotency-Key"
    UPLOAD = "a blob in uploads"


@dataclass(frozen=True)
class Scenario:
    """One way, and how it ends when nobody dies.

    ``paid`` are faults of the image model, ``gpu`` those of the GPU service by path. ``until`` names an
    activity: from its beginning on it is as on the happy path; ``only`` is in the names of its points.
    ``hold`` is where it is cancelled. ``vault_away``: so many calls of the key that signs fail.
    ``held_for``: no paid call may be made when it comes in, for this reason.
    ``loses_answer``: a paid call's answer is lost by itself. ``retried``: the failed job is run again, and
    the faults are over then. ``waits``: what the app waits for is waited for, not skipped.
    """

    name: str
    state: JobState = JobState.COMPLETED
    code: str | None = None
    entrance: Entrance = Entrance.ROW
    photo: str = "subject"
    output: JobOutput = JobOutput.SCENE
    examined: bool = False
    paid: tuple[str, ...] = ()
    gpu: dict[str, tuple[str, ...]] = field(default_factory=dict)
    until: str | None = None
    only: str = ""
    hold: Point | None = None
    held_for: str | None = None
    retried: bool = False
    callbacks: tuple[int, ...] = ()
    vault_away: int = 0
    loses_answer: bool = False
    waits: bool = False
    production: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def part(self, way: Way) -> Way:
        """The part of its way that is broken."""
        names = [(each.point, each.name) for each in way]
        begins = ("before_activity", self.until)
        way = way[: names.index(begins) + 1] if begins in names else way
        return tuple(each for each in way if self.only in each.name)


def _failed(name: str, code: str, **more: object) -> Scenario:
    return Scenario(name, JobState.FAILED, code, **more)  # type: ignore[arg-type]


_SHORT = {"NANO_BANANA_RETRY": "timeout_s=1"}
# an open circuit waits for better days, and here the attempts are to be used up
_PATIENT = {"CIRCUIT": "failures=1000", "GPU_RETRY": "attempts=2"}
HAPPY = Scenario("happy path")
SCENARIOS = (
    HAPPY,
    Scenario(
        "lost answer is waited for",
        only="generateContent",
        waits=True,
        environment={"NANO_BANANA_RETRY": "timeout_s=3"},
    ),
    Scenario("submitted over HTTP", entrance=Entrance.HTTP, photo="signed", until="guardrail"),
    Scenario("submitted as a blob", entrance=Entrance.UPLOAD, examined=True, until="remove_background"),
    Scenario("cut-out alone", output=JobOutput.CUTOUT),
    Scenario("4x alone", output=JobOutput.UPSCALED),
    Scenario("GPU busy, then away", gpu={REMBG: ("busy",), UPSCALE: ("away",)}, until="place"),
    Scenario("GPU fails once", gpu={UPSCALE: ("fails",)}, until="place"),
    Scenario("image model returns 503", paid=("503",), until="finish_job"),
    Scenario(
        "circuit opens and closes",
        paid=("503",) * 2,
        until="finish_job",
        environment={"CIRCUIT": "failures=1"},
    ),
    Scenario("image model returns 429", paid=("429",), until="finish_job"),
    Scenario("dead key holds all", paid=("dead_key",), until="finish_job"),
    Scenario("odd answer is asked once more", paid=("no_image",), until="finish_job"),
    Scenario("Key Vault is away for a while", vault_away=2, until="finish_job"),
    Scenario("held before the GPU works in vain", held_for="nano_banana_forbidden", until="upscale"),
    Scenario("guardrail rejects", JobState.REJECTED, photo="flat", examined=True),
    _failed(
        "placed picture rejected, twice",
        "placed_picture_rejected",
        retried=True,
        environment={"PICTURE_LIMITS": "max_nsfw_score=0"},
    ),
    _failed("no subject", "no_subject_found", photo="noise"),
    _failed("GPU keeps failing", "gpu_failed", gpu={REMBG: ("fails",) * 20}, environment=_PATIENT),
    _failed("safety rejection", "nano_banana_safety", paid=("safety",) * _ALWAYS),
    _failed("text only", "nano_banana_no_image", paid=("text_only",) * _ALWAYS),
    _failed(
        "time-out before billing",
        "payment_unknown",
        paid=("timeout_before_billing",),
        loses_answer=True,
        environment=_SHORT,
    ),
    _failed(
        "time-out after billing",
        "payment_unknown",
        paid=("timeout_after_billing",),
        loses_answer=True,
        environment=_SHORT,
    ),
    _failed("broken connection", "payment_unknown", paid=("broken_connection",), loses_answer=True),
    _failed("malformed answer", "payment_unknown", paid=("malformed_json",), loses_answer=True),
    Scenario("retried after a rejection", paid=("safety",) * _ALWAYS, retried=True),
    Scenario(
        "retried after the GPU failed",
        gpu={UPSCALE: ("fails",) * 20},
        until="place",
        retried=True,
        environment=_PATIENT,
    ),
    Scenario("with a callback", callbacks=(503,)),
    Scenario("happy path on PostgreSQL and Azurite", production=True),
)
