"""The paid picture says what it is: read what it was made from, sign it, and what it means if that fails.

Nothing here pays. What can't be signed now is waited for, up to the job's deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.attempt import Attempt
from activities.derive import derive
from imagery import __version__
from imagery.contracts import (
    JOBS,
    BlobRef,
    Stage,
    StageResult,
    paid_answer,
    statement_of,
    taken_answer,
)
from imagery.database.signatures import Signature
from imagery.database.tables import StageRun, utc_now
from imagery.guardrail.pictures import CONTENT_TYPES
from imagery.guardrail.sniff import sniff
from imagery.guardrail.turns import Turn
from imagery.png import has_manifest
from imagery.provenance.credentials import NO_CREDENTIALS, Credentials, CredentialsState
from imagery.provenance.kept import KeptStatement
from imagery.provenance.label import labelled
from imagery.provenance.manifest import (
    CLAIM_GENERATOR,
    GENERATED,
    Role,
    Source,
    Statement,
    Step,
    StepKind,
    prompt_hash,
)
from imagery.provenance.sign import SigningError
from imagery.provenance.xmp import with_source_type
from imagery.settings import CredentialsMode
from imagery.storage import BlobChangedError, BlobNotFoundError, BlobTooLargeError
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
PNG = "image/png"
LOOK_AGAIN_S = 5.0
# what signing and writing the picture take at most, and a look that comes late
_BEFORE_DEADLINE_S = 60.0
PAID = "The picture is paid and kept; what is left to do costs nothing."
# of one source: more is not held in memory for a signature
_MAX_SOURCE_BYTES = 256 * 2**20
_GPU_STEPS = (
    (StepKind.CUT_OUT, Stage.REMBG, "background removal"),
    (StepKind.UPSCALE, Stage.REALESRGAN, "Real-ESRGAN"),
)


@dataclass(frozen=True)
class Delivery:
    """The bytes that get the picture's name. ``signature`` None: the settings say that nothing is signed."""

    data: bytes
    signature: Signature | None


def signed(
    attempt: Attempt, picture: bytes, answer: bytes, model: str | None = None
) -> Delivery | StageResult:
    """``picture``, a PNG made of the provider's ``answer``, as it is delivered: labelled, and signed.

    ``model`` None: the ledger's.

    Returns the stage's result where it waits for a signature, or ends without one. Raises ``SandboxError``
    and ``StorageError``.
    """
    words = attempt.services.settings.provenance.credentials
    if words.label is not None:
        picture = labelled(picture, words.label)
    if words.mode is CredentialsMode.OFF:
        return _unsigned(attempt, picture, answer)
    sources = tuple(_sources(attempt, answer))
    try:
        signer = attempt.services.picture_signers.get()
        if signer is None:
            return _unsigned(attempt, picture, answer)
        made = signer.sign(picture, PNG, _statement(attempt, sources, model))
    except SigningError as error:
        return _without_signature(attempt, error, _unsigned(attempt, picture, answer, error))
    states = {source.role.value: source.credentials.state.value for source in sources}
    return Delivery(made.data, Signature(made.credentials.state, sources=states))


def already_signed(attempt: Attempt) -> Signature | None:
    """What the stored picture says: an earlier attempt wrote it and died before it could record that.

    Raises ``SandboxError`` and ``StorageError``.
    """
    if attempt.services.settings.provenance.credentials.mode is CredentialsMode.OFF:
        return None
    data = attempt.services.storage.read(attempt.target)
    found = attempt.services.guardrail.credentials(data, Turn(attempt.job.owner_id))
    if not _is_ours(found):
        why = ("signing_failed", "An attempt that was interrupted delivered it unsigned.")
        return Signature(None, why, is_untouched=found.manifest is not None)
    return Signature(found.state)


def take_signed(attempt: Attempt, source: BlobRef) -> Signature | StageResult | None:
    """Take a paid picture over from an earlier job: the same pixels, with a statement of this job.

    See ``Attempt.reuse``. Raises ``SandboxError`` and ``StorageError``.
    """
    storage, words = attempt.services.storage, attempt.services.settings.provenance.credentials
    if words.mode is CredentialsMode.OFF and words.label is None:
        storage.copy(source, attempt.target)
        return None
    picture = storage.read(source)
    answer = _answer_of(attempt, source.name.partition("/")[0])
    if answer is not None:
        # whoever takes it over from this job finds it here, when the earlier one is gone
        storage.write(taken_answer(attempt.job_id, attempt.stage), answer, "application/octet-stream")
    # the earlier job's picture may have a label, or another one
    plain, came = (picture, picture) if answer is None else (derive(answer), answer)
    delivery = signed(attempt, plain, came, _model_of(attempt, picture))
    if isinstance(delivery, StageResult):
        return delivery
    storage.write(attempt.target, delivery.data, PNG)
    return delivery.signature


def _model_of(attempt: Attempt, picture: bytes) -> str | None:
    """The image model that an earlier statement of ours names. Returns None if there is none."""
    found = attempt.services.guardrail.credentials(picture, Turn(attempt.job.owner_id))
    if not _is_ours(found) or found.manifest is None:
        return None
    agents = (each.software_agent for each in reversed(found.manifest.actions))
    return next((agent for agent in agents if agent and not agent.startswith(CLAIM_GENERATOR)), None)


def _is_ours(found: Credentials) -> bool:
    return found.manifest is not None and (found.manifest.claim_generator or "").startswith(CLAIM_GENERATOR)


def _answer_of(attempt: Attempt, job_id: str) -> bytes | None:
    """The provider's bytes behind another job's picture. Returns None where they are not kept."""
    services, stage = attempt.services, attempt.stage
    job = services.jobs.get(job_id)
    runs = services.ledger.answered_runs(job_id, job.run, stage) if job is not None else []
    for each in [*(paid_answer(job_id, stage, run) for run in runs), taken_answer(job_id, stage)]:
        try:
            return services.storage.read(each)
        except BlobNotFoundError:
            continue
    return None


def _sources(attempt: Attempt, answer: bytes) -> list[Source]:
    """What the picture was made from. Untrusted bytes are read by the guardrail's workers."""
    services, turn = attempt.services, Turn(attempt.job.owner_id)
    found = [Source(Role.ANSWER, answer, _type_of(answer), services.guardrail.credentials(answer, turn))]
    clean = _if_there(attempt, attempt.output_of(Stage.GUARDRAIL))
    if clean is not None:
        found.append(Source(Role.CLEAN_PHOTO, clean, PNG, NO_CREDENTIALS))
    photo = _photo(attempt, turn)
    if photo is not None:
        found.append(photo)
    for source in found:
        if source.credentials.state is CredentialsState.BROKEN:
            reasons = list(source.credentials.reasons)
            _log.warning("source_credentials_broken", source=source.role.value, reasons=reasons)
    return found


def _photo(attempt: Attempt, turn: Turn) -> Source | None:
    """The photo as it came, or the statement that was kept of it. Returns None if neither is there."""
    job = attempt.job
    ref = BlobRef(container=job.source_container, name=job.source_name, etag=job.source_etag)
    if job.source_container == JOBS:
        kept = _if_there(attempt, statement_of(ref))
        return KeptStatement.model_validate_json(kept).source if kept is not None else None
    photo = _if_there(attempt, ref)
    if photo is None:
        return None
    found = attempt.services.guardrail.credentials(photo, turn)
    return Source(Role.PHOTO, photo, _type_of(photo), found)


def _if_there(attempt: Attempt, ref: BlobRef) -> bytes | None:
    try:
        return attempt.services.storage.read(ref, _MAX_SOURCE_BYTES)
    except (BlobNotFoundError, BlobChangedError, BlobTooLargeError):
        return None


def _type_of(data: bytes) -> str:
    return CONTENT_TYPES.get(sniff(data) or "", "application/octet-stream")


def _statement(attempt: Attempt, sources: tuple[Source, ...], model: str | None) -> Statement:
    services = attempt.services
    ledger_model = services.ledger.answered_model(attempt.job_id, attempt.order.run, attempt.stage)
    scene = model or ledger_model or services.settings.nano_banana.model
    view = services.jobs.view(attempt.job_id)
    rows = {row.stage: row for row in view.stages} if view is not None else {}
    version = services.settings.gpu.model_version
    steps = [
        Step(kind, model, version, _finished(rows.get(stage.value))) for kind, stage, model in _GPU_STEPS
    ]
    steps.append(Step(StepKind.SCENE, scene, "", utc_now()))
    if services.settings.provenance.credentials.label is not None:
        steps.append(Step(StepKind.LABEL, CLAIM_GENERATOR, __version__, utc_now()))
    return Statement(
        job_id=attempt.job_id,
        prompt_sha256=prompt_hash(attempt.options.prompt),
        verdict="admitted",
        steps=tuple(steps),
        sources=sources,
    )


def _finished(row: StageRun | None) -> datetime | None:
    return row.finished_at if row is not None else None


def _without_signature(attempt: Attempt, error: SigningError, unsigned: Delivery) -> StageResult | Delivery:
    """Wait for what may come back; else deliver without, or not at all, as the settings say."""
    _log.warning("signing_failed", error_code=error.code, error=str(error))
    is_required = attempt.services.settings.provenance.credentials.mode is CredentialsMode.REQUIRE
    if error.retryable or is_required:
        back = utc_now() + timedelta(seconds=attempt.wait_s(LOOK_AGAIN_S) + _BEFORE_DEADLINE_S)
        if back < attempt.order.deadline:
            return attempt.later(error.code, f"{PAID} {error}", LOOK_AGAIN_S)
    if is_required:
        why = f"It is not delivered without a signature. Retry the job when pictures can be signed. {error}"
        return attempt.fail(error.code, f"{PAID} {why}")
    return unsigned


def _unsigned(attempt: Attempt, picture: bytes, answer: bytes, error: SigningError | None = None) -> Delivery:
    """A PNG with a manifest of the provider's stays as it came: without one chunk its signature is broken.

    One with a label can't stay so; XMP goes on saying to programs what it is.
    """
    is_labelled = attempt.services.settings.provenance.credentials.label is not None
    is_untouched = has_manifest(answer) and not is_labelled
    if is_labelled:
        picture = with_source_type(picture, PNG, GENERATED)
    reason = (error.code, str(error)) if error is not None else None
    signature = Signature(None, reason, is_untouched=is_untouched) if reason is not None else None
    return Delivery(answer if is_untouched else picture, signature)
