"""What the real Functions worker demands of the app, checked without a worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_type_hints

import azure.functions as func
import pytest

import function_app
from orchestrators.image_pipeline import STEPS

ROOT = Path(__file__).parent.parent
FUNCTIONS = {each.get_function_name(): each for each in function_app.app.get_functions()}


def trigger(name: str) -> str:
    kind = FUNCTIONS[name].get_trigger()
    assert kind is not None
    return str(kind.type)


def test_every_function_of_the_design_is_registered() -> None:
    kinds = {name: trigger(name) for name in FUNCTIONS}
    assert kinds == {
        "image_pipeline": "orchestrationTrigger",
        "batch": "orchestrationTrigger",
        "callback": "orchestrationTrigger",
        "guardrail": "activityTrigger",
        "remove_background": "activityTrigger",
        "upscale": "activityTrigger",
        "place": "activityTrigger",
        "finish_job": "activityTrigger",
        "notify": "activityTrigger",
        "http": "httpTrigger",
        "uploads": "blobTrigger",
        "reconciler": "timerTrigger",
        "retention": "timerTrigger",
    }


def test_every_step_of_the_pipeline_is_a_registered_activity() -> None:
    for step in STEPS:
        assert trigger(step.activity) == "activityTrigger"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bindings_are_annotated_with_plain_types(name: str) -> None:
    """The worker refuses to load a function whose binding has a parameterised generic as annotation."""
    handler = FUNCTIONS[name].get_user_function()
    bound = {binding.name for binding in FUNCTIONS[name].get_bindings()}
    for parameter, hint in get_type_hints(handler).items():
        if parameter in bound or parameter == "return":
            assert isinstance(hint, type), f"{name}({parameter}: {hint})"


def test_the_home_page_and_every_method_reach_the_app() -> None:
    binding = FUNCTIONS["http"].get_trigger()
    assert binding is not None
    assert binding.get_dict_repr()["route"] == "{*path}"
    assert set(binding.get_dict_repr()["methods"]) == set(func.HttpMethod)
    assert json.loads((ROOT / "host.json").read_text())["extensions"]["http"]["routePrefix"] == ""
