"""What we say of a picture that we deliver, and the C2PA manifest that says it. It holds no personal data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from imagery import __version__
from imagery.provenance.credentials import Credentials, CredentialsState

CLAIM_GENERATOR = "Imagery"
JOB_ASSERTION = "imagery.job"
_ACTIONS = "c2pa.actions.v2"
_NEWSCODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENHANCED = f"{_NEWSCODES}algorithmicallyEnhanced"
COMPOSITE = f"{_NEWSCODES}compositeWithTrainedAlgorithmicMedia"
GENERATED = f"{_NEWSCODES}trainedAlgorithmicMedia"
_BROKEN_CODE = "general.error"


class StepKind(StrEnum):
    """What is done to a picture."""

    CUT_OUT = "cut_out"
    UPSCALE = "upscale"
    SCENE = "scene"
    LABEL = "label"


class Role(StrEnum):
    """What a picture was to ours."""

    ANSWER = "answer"
    CLEAN_PHOTO = "clean_photo"
    PHOTO = "photo"


@dataclass(frozen=True)
class Step:
    """What a model did, or a program. ``model`` and ``version`` name it."""

    kind: StepKind
    model: str
    version: str
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Source:
    """A picture that ours was made from, as it came, byte for byte.

    ``credentials``: what the guardrail's worker read in it. Only what could be read there is read again.
    ``file_sha256``: of a picture that was not kept; ``data`` is then its ``KeptStatement.archive``.
    """

    role: Role
    data: bytes = field(repr=False)
    content_type: str
    credentials: Credentials
    file_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Of the picture's bytes, in hex."""
        return self.file_sha256 or hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Statement:
    """What is said of one picture.

    ``prompt_sha256``: see ``prompt_hash``. ``verdict``: of the guardrail. ``is_pixel_true``: the subject's
    pixels are those of the photo, which makes the picture a composite. ``sources``: one of each role.
    """

    job_id: str
    prompt_sha256: str
    verdict: str
    steps: tuple[Step, ...]
    sources: tuple[Source, ...]
    is_pixel_true: bool = False

    @property
    def source_type(self) -> str:
        """IPTC's term for the picture as a whole."""
        if any(step.kind is StepKind.SCENE for step in self.steps):
            return COMPOSITE if self.is_pixel_true else GENERATED
        return ENHANCED

    @property
    def parent(self) -> Source | None:
        """The picture that ours is a version of: the provider's answer, else the photo."""
        order = {role: place for place, role in enumerate(Role)}
        return min(self.sources, key=lambda source: order[source.role], default=None)


def prompt_hash(prompt: str) -> str:
    """SHA-256 of a prompt in hex: it can be compared, and not read."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def is_carried(source: Source) -> bool:
    """True if the source's own manifests go into ours: the worker could read them."""
    return source.credentials.manifest is not None and bool(source.data)


def without_broken(statement: Statement) -> Statement:
    """The same with broken manifests named as broken and left out; ``statement`` itself if it has none."""
    sources = tuple(
        replace(source, credentials=source.credentials.model_copy(update={"manifest": None}))
        if source.credentials.state is CredentialsState.BROKEN and is_carried(source)
        else source
        for source in statement.sources
    )
    return statement if sources == statement.sources else replace(statement, sources=sources)


def ingredient(statement: Statement, source: Source) -> dict[str, Any]:
    """The definition of a source as an ingredient. One whose manifest can't be read says so itself."""
    definition: dict[str, Any] = {
        "label": source.role.value,
        "title": source.role.value,
        "format": source.content_type,
        "relationship": "parentOf" if source is statement.parent else "componentOf",
    }
    if source.credentials.state is CredentialsState.BROKEN and not is_carried(source):
        failure = {"code": _BROKEN_CODE, "explanation": ", ".join(source.credentials.reasons) or "unreadable"}
        statuses = {"success": [], "informational": [], "failure": [failure]}
        definition["validation_results"] = {"activeManifest": statuses}
    return definition


def definition(statement: Statement) -> dict[str, Any]:
    """The manifest as the C2PA library's builder takes it, with the ingredients that carry none of their own.

    The others are added from their bytes.
    """
    return {
        "claim_generator_info": [{"name": CLAIM_GENERATOR, "version": __version__}],
        "title": "picture",
        "ingredients": [
            ingredient(statement, source) for source in statement.sources if not is_carried(source)
        ],
        "assertions": [
            {"label": _ACTIONS, "data": {"actions": list(_actions(statement))}},
            {"label": JOB_ASSERTION, "data": _job(statement)},
        ],
    }


def _actions(statement: Statement) -> Iterator[dict[str, Any]]:
    parent = statement.parent
    if parent is None:
        yield {"action": "c2pa.created", "digitalSourceType": statement.source_type}
    else:
        yield {"action": "c2pa.opened", "parameters": {"ingredientIds": [parent.role.value]}}
    for step in sorted(statement.steps, key=lambda step: list(StepKind).index(step.kind)):
        action: dict[str, Any] = {"softwareAgent": {"name": step.model, "version": step.version}}
        if step.kind is not StepKind.LABEL:
            is_scene = step.kind is StepKind.SCENE
            action["digitalSourceType"] = statement.source_type if is_scene else ENHANCED
        if step.finished_at is not None:
            action["when"] = step.finished_at.isoformat()
        yield action | _deed(step, statement)


def _deed(step: Step, statement: Statement) -> dict[str, Any]:
    if step.kind is StepKind.CUT_OUT:
        return {"action": "c2pa.edited", "description": "The background was removed."}
    if step.kind is StepKind.UPSCALE:
        return {"action": "c2pa.resized", "description": "The subject was upscaled."}
    if step.kind is StepKind.LABEL:
        return {"action": "c2pa.edited", "description": "A visible label was drawn in a corner."}
    placed = [source.role.value for source in statement.sources if source is not statement.parent]
    if not placed:
        return {"action": "c2pa.edited", "description": "The subject was placed in a generated scene."}
    return {
        "action": "c2pa.placed",
        "description": "The subject was placed in a generated scene.",
        "parameters": {"ingredientIds": placed},
    }


def _job(statement: Statement) -> dict[str, Any]:
    return {
        "job_id": statement.job_id,
        "prompt_sha256": statement.prompt_sha256,
        "guardrail": statement.verdict,
        "subject_is_pixel_true": statement.is_pixel_true,
        "sources": [
            {
                "role": source.role.value,
                "sha256": source.sha256,
                "credentials": source.credentials.state.value,
            }
            for source in statement.sources
        ],
    }
