"""What the client knows of the API is what the API is."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from api.v1.logs import LogQuery
from imagery import contracts
from imagery.provenance.credentials import CredentialsState
from imagery_client import model


def values(annotation: Any) -> list[str]:
    """What a field of the app accepts, whether it is an enum, a Literal, or one of them or None."""
    schema = TypeAdapter(annotation).json_schema()
    given = [schema, *schema.get("anyOf", []), *schema.get("$defs", {}).values()]
    return next(each["enum"] for each in given if "enum" in each)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (model.Stage, contracts.Stage),
        (model.JobState, contracts.JobState),
        (model.JobOutput, contracts.JobOutput),
        (model.AspectRatio, contracts.JobOptions.model_fields["aspect_ratio"].annotation),
        (model.ImageSize, contracts.JobOptions.model_fields["image_size"].annotation),
        (model.ThinkingLevel, contracts.JobOptions.model_fields["thinking_level"].annotation),
        (model.CredentialsState, CredentialsState),
        (model.LogLevel, LogQuery.model_fields["level"].annotation),
    ],
)
def test_the_clients_choices_are_those_of_the_app(ours: type[StrEnum], theirs: object) -> None:
    assert [each.value for each in ours] == values(theirs)


def test_the_client_knows_which_states_end_a_job() -> None:
    assert {each.value for each in model.ENDED} == {each.value for each in contracts.TERMINAL_STATES}


def test_fields_that_the_client_does_not_know_are_printed_too() -> None:
    sent = {"job_id": "a", "state": "NEW_STATE", "source": "x", "created_at": "2030-01-01", "new": [1]}
    assert model.JobStatus.model_validate(sent).to_json() == sent


def test_an_object_of_another_service_is_not_read_as_a_job() -> None:
    with pytest.raises(ValidationError):
        model.JobStatus.model_validate({"hello": "world"})
