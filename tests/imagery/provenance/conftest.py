"""A provider and a camera that sign, and our signer."""

from __future__ import annotations

import pytest

from imagery.provenance.local_authority import LocalSigner, issue
from imagery.provenance.manifest import Role, Source, Statement, Step, StepKind, prompt_hash
from imagery.provenance.reader import read
from imagery.provenance.trust import reading_context
from testbed.credentials import camera


@pytest.fixture(scope="session")
def ours() -> LocalSigner:
    return issue("Our TEST authority", "Our TEST signer")


@pytest.fixture(scope="session")
def makers() -> LocalSigner:
    """Signs for the camera and for the model."""
    return camera()


def source(role: Role, data: bytes, content_type: str, anchors: str = "") -> Source:
    """A picture, read as the guardrail's worker reads it."""
    return Source(role, data, content_type, read(data, reading_context(anchors)))


def statement(*sources: Source, is_pixel_true: bool = True) -> Statement:
    """What the paid stage would say."""
    steps = (
        Step(StepKind.CUT_OUT, "u2net", "1"),
        Step(StepKind.UPSCALE, "realesr-general-x4v3", "1"),
        Step(StepKind.SCENE, "gemini-3.1-flash-image", "models/gemini-3.1-flash-image-001"),
    )
    return Statement(
        job_id="0c9b7a1e",
        prompt_sha256=prompt_hash("on a marble counter"),
        verdict="admitted",
        steps=steps,
        sources=sources,
        is_pixel_true=is_pixel_true,
    )
