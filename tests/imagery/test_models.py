"""What the image models can be asked for, and what an option that is added later must leave alone."""

from __future__ import annotations

import pytest

from imagery.contracts import AspectRatio, BlobRef, JobOptions, ThinkingLevel
from imagery.job_ids import upload_job_id
from imagery.providers.models import STRIPS, abilities_of, not_offered
from imagery.settings import Settings

FLASH, PRO, UNHEARD_OF = "gemini-3.1-flash-image", "gemini-3-pro-image", "gemini-of-another-time"


@pytest.mark.parametrize("model", [Settings().nano_banana.model, UNHEARD_OF])
def test_the_default_model_and_one_that_nobody_knows_are_asked_for_everything(model: str) -> None:
    for ratio in AspectRatio:
        for level in (None, *ThinkingLevel):
            assert not_offered(model, ratio, level) is None
    assert abilities_of(model).aspect_ratios == list(AspectRatio)


@pytest.mark.parametrize("ratio", sorted(STRIPS))
def test_a_strip_is_refused_where_the_model_makes_none(ratio: str) -> None:
    assert "no pictures of " + ratio in str(not_offered(PRO, ratio, None))
    assert not_offered(FLASH, ratio, None) is None
    assert ratio not in abilities_of(PRO).aspect_ratios


def test_a_thinking_level_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    assert str(not_offered(FLASH, "1:1", "medium")).endswith("Choose one of: minimal, high.")
    assert str(not_offered(PRO, "1:1", "high")).endswith("Leave it out.")
    assert not_offered(PRO, "21:9", None) is None


def test_the_ids_of_jobs_that_choose_nothing_new_stay_what_they_were() -> None:
    blob = BlobRef(container="uploads", name="a.jpg", etag="1")
    assert upload_job_id(blob, JobOptions()) == "5dc25354-a935-5e54-acf5-6fd68866380f"
    chosen = JobOptions(prompt="on snow", aspect_ratio=AspectRatio.LANDSCAPE_16_9)
    assert upload_job_id(blob, chosen) == "505cf195-de81-558d-b63b-c0d107e2610f"
    assert upload_job_id(blob, JobOptions(seed=0)) != upload_job_id(blob, JobOptions())
