"""Google's own client (google-genai), both ways: it takes our request, and it understands our simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from imagery.providers.request import parts_of, request_body
from local.nano_banana_answers import BILLED, OTHER_PICTURES
from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.pictures import encoded
from testbed.servers import Server

MODEL = "gemini-nano-banana-2.1"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Server]:
    server = Server(Simulator(SimulatorOptions(latency_s=0.0)).app())
    yield server
    server.stop()


def fault(simulator: Server, *names: str) -> None:
    simulator.client.delete("/_simulator/faults")
    # as often as a client with retries of its own may ask
    order = {"next": [name for name in names for _ in range(5)], "retry_delay_s": 0.1}
    simulator.client.post("/_simulator/faults", json=order).raise_for_status()


def ask(simulator: Server) -> types.GenerateContentResponse:
    """With the client's default settings."""
    client = genai.Client(api_key="a key", http_options=types.HttpOptions(base_url=simulator.url))
    parts = [
        types.Part.from_text(text="on a table"),
        types.Part.from_bytes(data=encoded("PNG", "RGBA"), mime_type="image/png"),
    ]
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="1K"),
    )
    return client.models.generate_content(
        model=MODEL, contents=types.Content(role="user", parts=parts), config=config
    )


def pictures(answer: types.GenerateContentResponse) -> list[bytes]:
    parts = [part for each in answer.candidates or [] for part in (each.content and each.content.parts) or []]
    return [part.inline_data.data for part in parts if part.inline_data and part.inline_data.data]


@pytest.mark.parametrize("size", ["1K", "2K", "4K"])
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "1:8"])
@pytest.mark.parametrize(
    ("thinking", "seed"), [(None, None), ("minimal", 0), ("medium", 7), ("high", 2**31 - 1)]
)
def test_its_types_forbid_nothing_that_we_send(
    size: str, ratio: str, thinking: str | None, seed: int | None
) -> None:
    parts = parts_of("on a table", encoded("PNG", "RGBA"), "image/png")
    body: dict[str, Any] = request_body(parts, ratio, size, thinking_level=thinking, seed=seed)
    assert (
        types.Content.model_config["extra"] == types.GenerateContentConfig.model_config["extra"] == "forbid"
    )
    (content,) = [types.Content.model_validate(each) for each in body.pop("contents")]
    assert [bool(part.inline_data) for part in content.parts or []] == [False, True]
    config = types.GenerateContentConfig.model_validate(body.pop("generationConfig"))
    assert config.image_config == types.ImageConfig(aspect_ratio=ratio, image_size=size)
    level = config.thinking_config and config.thinking_config.thinking_level
    assert level == (types.ThinkingLevel[thinking.upper()] if thinking else None)
    assert config.seed == seed
    assert body == {}


def test_its_client_gets_a_picture(simulator: Server) -> None:
    answer = ask(simulator)
    assert len(pictures(answer)) == 1
    assert (answer.model_version, bool(answer.response_id)) == (MODEL, True)
    assert answer.usage_metadata is not None and answer.usage_metadata.total_token_count


# base64 in lines, which other gateways send, it refuses
@pytest.mark.parametrize("name", sorted({*BILLED, *OTHER_PICTURES} - {"in_lines"}))
def test_it_understands_every_answer_with_a_picture(simulator: Server, name: str) -> None:
    fault(simulator, name)
    assert pictures(ask(simulator))


@pytest.mark.parametrize(("name", "kind"), [("503", errors.ServerError), ("429", errors.ClientError)])
def test_it_raises_its_own_errors(simulator: Server, name: str, kind: type[errors.APIError]) -> None:
    fault(simulator, name)
    with pytest.raises(kind) as caught:
        ask(simulator)
    assert caught.value.code == int(name)


def test_it_understands_why_there_is_no_picture(simulator: Server) -> None:
    for name, reason in (("safety", "IMAGE_SAFETY"), ("no_image", "NO_IMAGE"), ("text_only", "STOP")):
        fault(simulator, name)
        answer = ask(simulator)
        assert pictures(answer) == []
        assert [each.finish_reason for each in answer.candidates or []] == [types.FinishReason(reason)]
    fault(simulator, "blocked")
    feedback = ask(simulator).prompt_feedback
    assert feedback is not None and feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT


def test_it_describes_the_model(simulator: Server) -> None:
    fault(simulator)
    client = genai.Client(api_key="a key", http_options=types.HttpOptions(base_url=simulator.url))
    assert client.models.get(model=MODEL).supported_actions == ["generateContent", "countTokens"]
    with pytest.raises(errors.ClientError) as caught:
        client.models.get(model="gemini-of-another-time")
    assert caught.value.code == 404


def test_its_client_for_vertex_gets_a_picture_and_sends_labels(simulator: Server) -> None:
    fault(simulator)
    client = genai.Client(
        vertexai=True,
        project="a-project",
        location="global",
        credentials=Credentials("a token"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=simulator.url),
    )
    parts = [
        types.Part.from_text(text="on a table"),
        types.Part.from_bytes(data=encoded("PNG", "RGBA"), mime_type="image/png"),
    ]
    config = types.GenerateContentConfig(labels={"team": "photos"}, seed=3)
    answer = client.models.generate_content(
        model=MODEL, contents=types.Content(role="user", parts=parts), config=config
    )
    assert len(pictures(answer)) == 1
    assert client.models.get(model=MODEL).name == f"publishers/google/models/{MODEL}"
