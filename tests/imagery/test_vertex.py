"""Vertex AI without a key: the exchange of tokens, held against Google's own library, and what is charged."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.auth import identity_pool
from google.auth.transport.requests import Request as GoogleRequest
from google.genai import types
from google.oauth2.credentials import Credentials

from imagery.environment import SettingsError, read
from imagery.providers import google_tokens
from imagery.providers.choice import make_providers
from imagery.providers.errors import (
    OUT_OF_SERVICE,
    CallRejectedError,
    NanoBananaError,
    OutOfServiceError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.request import parts_of, request_body
from imagery.providers.vertex import label, vertex_url
from imagery.settings import Settings
from testbed.identity_endpoint import IdentityEndpoint
from testbed.pictures import encoded
from tests.google_cloud import ACCOUNT, POOL, SCOPE, WORDS, GoogleCloud
from tests.imagery.test_provider_answers import error

MODEL = "gemini-nano-banana-2.1"
JOB = "0B1F3C52-0000-4000-8000-000000000001"


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    endpoint = IdentityEndpoint()
    for name, value in {**endpoint.environment, "AZURE_CREDENTIAL": "managed_identity"}.items():
        monkeypatch.setenv(name, value)
    yield endpoint
    endpoint.stop()


@pytest.fixture
def google(entra: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    cloud = GoogleCloud()
    cloud.stand_in(monkeypatch)
    yield cloud
    cloud.stop()


def client(google: GoogleCloud, words: str = WORDS) -> Any:
    variables = {**google.environment(words), "AZURE_CREDENTIAL": "managed_identity"}
    (provider,) = make_providers(read(Settings, {**variables, "NANO_BANANA_RETRY": "timeout_s=5"}))
    return provider


def place(provider: Any, **more: Any) -> Any:
    order = {"aspect_ratio": "1:1", "image_size": "1K", "job_id": JOB, **more}
    return provider.place(encoded("PNG", "RGBA"), "on a table", **order)


def test_the_apps_identity_becomes_googles_and_the_job_reaches_the_bill(
    google: GoogleCloud, entra: IdentityEndpoint
) -> None:
    provider = client(google)
    provider.look()
    assert place(provider).width == 1024
    assert google.bill(JOB) == (1, 1)
    assert google.labels == [{"job_id": JOB.lower()}]
    assert [name for name, _ in google.asked] == ["exchange"], "the token is kept"
    assert entra.asked == [("api://google", "")]


def test_a_service_account_is_acted_for(google: GoogleCloud) -> None:
    provider = client(google, f"{WORDS} service_account={ACCOUNT}")
    place(provider)
    place(provider)
    assert [name for name, _ in google.asked] == ["exchange", "account"]


class Supplier(identity_pool.SubjectTokenSupplier):
    """The token of Entra ID, for Google's library."""

    def get_subject_token(self, context: Any, request: Any) -> str:
        return "first"


@pytest.mark.parametrize("account", [None, ACCOUNT])
def test_googles_own_library_asks_for_the_same(google: GoogleCloud, account: str | None) -> None:
    theirs = identity_pool.Credentials(  # type: ignore[no-untyped-call]
        audience=f"//iam.googleapis.com/{POOL}",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{google.server.url}/v1/token",
        subject_token_supplier=Supplier(),
        scopes=[SCOPE],
        service_account_impersonation_url=account
        and f"{google.server.url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
    )
    theirs.refresh(GoogleRequest())  # type: ignore[no-untyped-call]
    asked, google.asked = google.asked, []
    client(google, f"{WORDS} service_account={account}" if account else WORDS).look()
    assert google.asked == asked and asked


def test_googles_own_client_gets_a_picture_and_its_types_forbid_nothing_that_we_send(
    google: GoogleCloud,
) -> None:
    google._exchanges = 1
    theirs = genai.Client(
        vertexai=True,
        project="shop",
        location="eu",
        credentials=Credentials("federated-1"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=google.server.url),
    )
    parts = [
        types.Part.from_text(text="on a table"),
        types.Part.from_bytes(data=encoded("PNG", "RGBA"), mime_type="image/png"),
    ]
    config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"], labels={"job_id": "a-1"})
    answer = theirs.models.generate_content(
        model=MODEL, contents=types.Content(role="user", parts=parts), config=config
    )
    (candidate,) = answer.candidates or []
    assert candidate.content and any(part.inline_data for part in candidate.content.parts or [])
    assert google.labels == [{"job_id": "a-1"}]
    assert theirs.models.count_tokens(model=MODEL, contents=".").total_tokens == 1
    ours = request_body(parts_of("on a table", b"x", "image/png"), "1:8", "4K", thinking_level="high", seed=1)
    body = ours["generationConfig"] | {"labels": client(google)._access.extras(JOB)["labels"]}
    assert types.GenerateContentConfig.model_validate(body).labels == {"job_id": JOB.lower()}


@pytest.mark.parametrize("location", ["global", "eu", "us", "europe-west4"])
def test_googles_own_client_calls_the_same_address(location: str) -> None:
    theirs = genai.Client(
        vertexai=True,
        project="shop",
        location=location,
        credentials=Credentials("x"),  # type: ignore[no-untyped-call]
    )
    assert str(theirs._api_client._http_options.base_url).rstrip("/") == vertex_url(location)


def test_a_refused_token_is_renewed_once(google: GoogleCloud) -> None:
    provider, sent = client(google), []
    place(provider)
    google.revoked = 1
    place(provider, on_send=lambda: sent.append(1))
    assert (google.bill(JOB), sent) == ((2, 2), [1])
    assert [name for name, _ in google.asked] == ["exchange"] * 2
    google.revoked = 10
    with pytest.raises(OutOfServiceError) as caught:
        place(provider)
    assert caught.value.code == "nano_banana_forbidden"
    assert "invalid credentials: ***" in caught.value.message, "no error holds a token, the new one neither"
    assert len(google.asked) == 3
    assert google.bill(JOB) == (2, 2)


def test_a_token_is_renewed_before_it_ends(google: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    google.lifetime_s, now = 1000, time.time()
    provider = client(google)
    for moved_s, exchanges in ((0, 1), (690, 1), (710, 2)):
        monkeypatch.setattr("time.time", lambda moved_s=moved_s: now + moved_s)
        provider.look()
        assert len(google.asked) == exchanges
    monkeypatch.undo()


JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJhcGk6Ly9nb29nbGUifQ.c2lnbmF0dXJl"
# the token service's answer, what it means, its code
REFUSALS: dict[str, tuple[int, Any, type[NanoBananaError], str]] = {
    "the pool does not trust it": (
        400,
        {"error": "invalid_grant", "error_description": f"The audience of {JWT} is wrong."},
        OutOfServiceError,
        "nano_banana_token_refused",
    ),
    "no right": (
        403,
        {"error": {"code": 403, "message": "no"}},
        OutOfServiceError,
        "nano_banana_token_refused",
    ),
    "no JSON object": (401, ["no"], OutOfServiceError, "nano_banana_token_refused"),
    "too often": (429, {}, ServiceUnavailableError, "nano_banana_token_unavailable"),
    "broken": (503, {}, ServiceUnavailableError, "nano_banana_token_unavailable"),
    "a redirect": (302, {}, ServiceUnavailableError, "nano_banana_token_unavailable"),
    "nothing in it": (200, {}, ServiceUnavailableError, "nano_banana_token_unavailable"),
    "a list": (200, [], ServiceUnavailableError, "nano_banana_token_unavailable"),
    "no time": (200, {"access_token": "x"}, ServiceUnavailableError, "nano_banana_token_unavailable"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_without_a_token_nothing_is_sent_and_nothing_charged(google: GoogleCloud, name: str) -> None:
    status, body, kind, code = REFUSALS[name]
    google.refuses, sent = (status, body), []
    with pytest.raises(NanoBananaError) as caught:
        place(client(google), on_send=lambda: sent.append(1))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert (code in OUT_OF_SERVICE) == (kind is OutOfServiceError)
    assert "eyJ" not in str(caught.value)
    assert (sent, google.bill(JOB)) == ([], (0, 0))


def test_a_broken_identity_endpoint_and_a_silent_token_service_are_given_up(
    google: GoogleCloud, entra: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_tokens, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/token"
        monkeypatch.setattr(google_tokens, "STS_URL", address)
        with pytest.raises(ServiceUnavailableError, match="did not respond"):
            place(client(google))
    entra.broken = True
    with pytest.raises(ServiceUnavailableError, match="Entra ID"):
        place(client(google))


# faults of the simulator: Vertex charges a 200 only, so what Google itself says otherwise is released
ENDS: dict[str, type[NanoBananaError]] = {
    "500": ServiceUnavailableError,
    "503": ServiceUnavailableError,
    "504": ServiceUnavailableError,
    "429": RateLimitedError,
    "suspended": OutOfServiceError,
    "model_gone": OutOfServiceError,
    "proxy_502": PaymentUnknownError,
    "malformed_json": PaymentUnknownError,
    "broken_connection": PaymentUnknownError,
}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_of_a_call_says_whether_it_may_be_charged(google: GoogleCloud, name: str) -> None:
    google.fault(name, retry_delay_s=1)
    with pytest.raises(ENDS[name]):
        place(client(google))


@pytest.mark.parametrize("status", [408, 499, 501, 504])
def test_what_google_breaks_off_itself_is_not_charged_by_vertex(
    google: GoogleCloud, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    provider = client(google)

    def answers(body: Any) -> None:
        answer = httpx.Response(status, json=body, request=httpx.Request("POST", "http://x"), stream=None)
        monkeypatch.setattr(provider._client, "send", lambda *_, **__: answer)

    answers(error(status))
    with pytest.raises(ServiceUnavailableError):
        place(provider)
    answers({"no": "error of Google"})
    with pytest.raises(CallRejectedError if status == 499 else PaymentUnknownError):
        place(provider)


def test_labels_keep_the_rules_of_the_bill() -> None:
    assert label("Job/1.2 Ä_-") == "job-1-2--_-"
    assert label("x" * 100) == "x" * 63


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("name=vertex", "vertex needs project, pool, app_id too"),
        ("fallback=vertex project=shop", "vertex needs pool, app_id too"),
        ("project=shop", "project is for vertex, which is neither name nor fallback"),
        ("location=eu", "location is for vertex"),
        ("fallback=gemini_api", "the fallback is the same"),
        ("fallback=bedrock", "fallback"),
        (f"name=vertex {WORDS} location=https://evil", "location"),
        (f"name=vertex {WORDS} model=../x", "model"),
        (f"name=vertex {WORDS} pool=azure", "pool"),
        ("name=openai", "name"),
    ],
)
def test_words_that_do_not_fit_together_are_refused_at_start(words: str, told: str) -> None:
    with pytest.raises(SettingsError, match="NANO_BANANA_PROVIDER") as caught:
        read(Settings, {"NANO_BANANA_PROVIDER": words})
    assert told in str(caught.value)


def test_a_stand_in_for_vertex_is_simulated_and_googles_is_not() -> None:
    local = "url=http://127.0.0.1:8090"
    for words, simulated in (
        ("", False),
        (f"name=vertex {WORDS}", False),
        (f"name=vertex {WORDS} {local}", True),
    ):
        assert read(Settings, {"NANO_BANANA_PROVIDER": words}).simulated == simulated
    base = {"NANO_BANANA_BASE_URL": "http://127.0.0.1:8090"}
    mixed = read(Settings, {**base, "NANO_BANANA_PROVIDER": f"fallback=vertex {WORDS}"})
    assert not mixed.simulated, "the second one costs money"
