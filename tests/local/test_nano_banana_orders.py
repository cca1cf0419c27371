"""What the simulator takes and refuses, model by model, and what it says of a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.genai import types
from PIL import Image

from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.pictures import encoded
from testbed.servers import Server

NEWEST, OLDER, PRO = "gemini-nano-banana-2.1", "gemini-3.1-flash-image", "gemini-3-pro-image"
VERTEX = "/v1beta1/projects/p/locations/global/publishers/google/models"
BEARER = {"Authorization": "Bearer a token"}
ONLY_IMAGE = {"responseModalities": ["IMAGE"]}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(Simulator(SimulatorOptions(latency_s=0.0)).app())
    yield running
    running.stop()


def picture_part(size: tuple[int, int] = (32, 32)) -> dict[str, Any]:
    data = base64.b64encode(encoded("PNG", "RGBA", size)).decode()
    return {"inlineData": {"mimeType": "image/png", "data": data}}


def body(*texts: str, **config: Any) -> dict[str, Any]:
    parts = [{"text": text} for text in texts or ("on a table",)]
    contents = [{"role": "user", "parts": [*parts, picture_part()]}]
    return {"contents": contents, "generationConfig": config}


def call(server: Server, content: Any, model: str = NEWEST) -> httpx.Response:
    path = f"/v1beta/models/{model}:generateContent"
    return server.client.post(path, json=content, headers={"x-goog-api-key": "k"})


def call_vertex(server: Server, content: Any, **headers: str) -> httpx.Response:
    path = f"{VERTEX}/{NEWEST}:generateContent"
    return server.client.post(path, json=content, headers=headers or BEARER)


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    parts = answer.json()["candidates"][0]["content"]["parts"]
    return Image.open(io.BytesIO(base64.b64decode(parts[-1]["inlineData"]["data"])))


def is_refused(answer: httpx.Response, status: str = "INVALID_ARGUMENT") -> bool:
    return answer.status_code == 400 and answer.json()["error"]["status"] == status


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [
        ("1:1", "1K", (1024, 1024)),
        ("16:9", "1K", (1376, 768)),
        ("16:9", "2K", (2752, 1536)),
        ("9:16", "1K", (768, 1376)),
        ("4:5", "1K", (928, 1152)),
        ("21:9", "2K", (3168, 1344)),
        ("1:8", "1K", (384, 3072)),
        ("4:1", "2K", (4096, 1024)),
    ],
)
def test_a_picture_has_the_pixels_of_the_services_table(
    server: Server, ratio: str, size: str, pixels: tuple[int, int]
) -> None:
    answer = call(server, body(imageConfig={"aspectRatio": ratio, "imageSize": size}))
    assert picture(answer).size == pixels


@pytest.mark.parametrize("model", [OLDER, PRO])
@pytest.mark.parametrize("ratio", ["1:4", "4:1", "1:8", "8:1"])
def test_only_the_newest_model_draws_narrow_pictures(server: Server, model: str, ratio: str) -> None:
    assert is_refused(call(server, body(imageConfig={"aspectRatio": ratio}), model))


def test_without_a_ratio_the_picture_is_shaped_like_the_one_that_came(server: Server) -> None:
    content = body()
    content["contents"][0]["parts"][-1] = picture_part((90, 60))
    assert picture(call(server, content)).size == (1264, 848)


def test_a_smaller_picture_than_ordered_is_billed_as_what_it_is(server: Server) -> None:
    server.client.post("/_simulator/faults", json={"next": ["smaller_size"]})
    answer = call(server, body(imageConfig={"imageSize": "4K"}))
    assert picture(answer).size == (1024, 1024)
    assert answer.json()["usageMetadata"]["candidatesTokensDetails"][-1]["tokenCount"] == 1120


@pytest.mark.parametrize("size", ["1K", "2K"])
def test_googles_own_types_know_every_field_of_an_answer(server: Server, size: str) -> None:
    config = {"imageConfig": {"imageSize": size}, "thinkingConfig": {"thinkingLevel": "high"}}
    for answer in (call(server, body(**config)), call_vertex(server, body(**config))):
        assert types.GenerateContentResponse.model_config["extra"] == "forbid"
        known = types.GenerateContentResponse.model_validate(answer.json())
        used = known.usage_metadata
        assert used is not None
        assert used.prompt_token_count and used.candidates_token_count and used.thoughts_token_count
        assert used.total_token_count == (
            used.prompt_token_count + used.candidates_token_count + used.thoughts_token_count
        )
        made = {each.modality: each.token_count for each in used.candidates_tokens_details or []}
        assert made[types.MediaModality.IMAGE] == {"1K": 1120, "2K": 1680}[size]
        assert sum(count or 0 for count in made.values()) == used.candidates_token_count
        assert (known.model_version, bool(known.response_id)) == (NEWEST, True)


@pytest.mark.parametrize("name", ["safety", "no_image", "blocked", "text_only"])
def test_an_answer_without_a_picture_says_what_it_used_too(server: Server, name: str) -> None:
    server.client.post("/_simulator/faults", json={"next": [name]})
    known = types.GenerateContentResponse.model_validate(call(server, body()).json())
    assert known.usage_metadata is not None and known.usage_metadata.prompt_token_count
    assert (known.model_version, bool(known.response_id)) == (NEWEST, True)


@pytest.mark.parametrize(
    ("model", "levels"),
    [(NEWEST, {"minimal", "MEDIUM", "high"}), (OLDER, {"minimal", "HIGH"}), (PRO, set[str]())],
)
def test_a_model_thinks_as_hard_as_it_can_be_asked_to(server: Server, model: str, levels: set[str]) -> None:
    thoughts = []
    for level in ("minimal", "low", "MEDIUM", "high", "HIGH"):
        answer = call(server, body(thinkingConfig={"thinkingLevel": level}), model)
        if level.lower() in {each.lower() for each in levels}:
            thoughts.append(answer.json()["usageMetadata"]["thoughtsTokenCount"])
        else:
            assert is_refused(answer), level
    assert thoughts == sorted(thoughts)
    assert is_refused(call(server, body(thinkingConfig={"thinkingBudget": 100}), model))


def test_thoughts_and_text_come_as_asked(server: Server) -> None:
    parts = call(server, body(thinkingConfig={"includeThoughts": True})).json()["candidates"][0]["content"]
    assert [part.get("thought", False) for part in parts["parts"]] == [True, False, False]
    (only,) = call(server, body(**ONLY_IMAGE)).json()["candidates"][0]["content"]["parts"]
    assert "inlineData" in only
    assert is_refused(call(server, body(responseModalities=["TEXT"])))


def test_the_same_seed_gives_the_same_picture_and_another_one_another(server: Server) -> None:
    first, again, other = (picture(call(server, body(seed=seed))).tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert is_refused(call(server, body(seed=1.5)))
    assert is_refused(call(server, body(seed=2**31)))


STRANGE: dict[str, dict[str, Any]] = {
    "a field of the body": body() | {"model": "x"},
    "a field of the configuration": body(imageSize="1K"),
    "a field of the image": body(imageConfig={"size": "1K"}),
    "labels": body() | {"labels": {"team": "a"}},
    "two candidates": body(candidateCount=2),
    "a small k": body(imageConfig={"imageSize": "2k"}),
    "no list": {"contents": 3},
    "too many pictures": {
        "contents": [{"role": "user", "parts": [{"text": "x"}, *[picture_part()] * 15]}],
    },
    "another kind of file": {
        "contents": [{"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/gif", "data": ""}}]}]
    },
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_the_service_does_not_know_is_refused(server: Server, name: str) -> None:
    assert is_refused(call(server, STRANGE[name]))


def test_the_protocol_buffers_own_names_are_taken_too(server: Server) -> None:
    content = body()
    content["generation_config"] = {"image_config": {"aspect_ratio": "16:9", "image_size": "1K"}}
    del content["generationConfig"]
    assert picture(call(server, content)).size == (1376, 768)


def test_vertex_takes_a_token_and_labels_for_its_bill(server: Server) -> None:
    labelled = body() | {"labels": {"team": "photo-1"}}
    answer = call_vertex(server, labelled, **BEARER)
    assert picture(answer).size == (1024, 1024)
    assert answer.json()["usageMetadata"]["trafficType"] == "ON_DEMAND"
    for refused in ({"Authorization": "Bearer"}, {"Authorization": "Basic x"}, {"x-goog-api-key": "k"}):
        answer = call_vertex(server, labelled, **refused)
        assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert is_refused(call_vertex(server, body() | {"labels": {"Team": "photo"}}))
    assert is_refused(call_vertex(server, body() | {"labels": {"team": "a b"}}))


def test_vertex_insists_on_a_role_and_on_small_files(server: Server) -> None:
    without = body()
    del without["contents"][0]["role"]
    assert is_refused(call_vertex(server, without))
    assert call(server, without).status_code == 200
    large = body()
    data = encoded("PNG", "RGBA") + bytes(7 * 1024 * 1024)
    large["contents"][0]["parts"][-1]["inlineData"]["data"] = base64.b64encode(data).decode()
    assert is_refused(call_vertex(server, large))
    assert call(server, large).status_code == 200


def test_a_named_token_is_the_only_one_that_vertex_takes() -> None:
    strict = Server(Simulator(SimulatorOptions(latency_s=0.0, access_token="a token")).app())
    try:
        assert call_vertex(strict, body(), **BEARER).status_code == 200
        assert call_vertex(strict, body(), Authorization="Bearer another").status_code == 401
    finally:
        strict.stop()


@pytest.mark.parametrize(
    "folder", [VERTEX, "/v1/publishers/google/models", "/v1beta1/publishers/google/models"]
)
def test_vertex_describes_its_models(server: Server, folder: str) -> None:
    told = server.client.get(f"{folder}/{NEWEST}", headers=BEARER)
    assert told.json()["name"] == f"publishers/google/models/{NEWEST}"
    assert server.client.get(f"{folder}/{NEWEST}").status_code == 401
    assert server.client.get(f"{folder}/gemini-of-another-time", headers=BEARER).status_code == 404
    old = folder.replace("v1beta1", "v1beta").replace("/v1/", "/v2/")
    assert server.client.get(f"{old}/{NEWEST}", headers=BEARER).status_code == 404
