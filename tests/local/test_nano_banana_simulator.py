"""The simulator's control side, and what it refuses as the real service does."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from local.nano_banana_bill import Bill, Prices, PricesError
from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.servers import Server

PATH = "/v1beta/models/gemini-nano-banana-2.1:generateContent"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(Simulator(SimulatorOptions(latency_s=0.0, bill_file=tmp_path / "bill.json")).app())
    yield running
    running.stop()


def body(**config: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGBA", (32, 32), (255, 0, 0, 255)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    parts = [{"text": "a table"}, {"inlineData": {"mimeType": "image/png", "data": data}}]
    return {"contents": [{"parts": parts}], "generationConfig": {"imageConfig": config}}


def call(server: Server, content: Any, key: str = "k", job: str = "j") -> httpx.Response:
    headers = {"x-job-id": job} | ({"x-goog-api-key": key} if key else {})
    return server.client.post(PATH, json=content, headers=headers)


def test_the_answer_has_the_documented_shape(server: Server) -> None:
    answer = call(server, body()).json()
    candidate = answer["candidates"][0]
    assert candidate["finishReason"] == "STOP"
    kinds = [next(iter(part)) for part in candidate["content"]["parts"]]
    assert kinds == ["text", "inlineData"]
    assert answer["modelVersion"] == "gemini-nano-banana-2.1"


BAD: dict[str, Any] = {
    "no contents": {},
    "no image": {"contents": [{"parts": [{"text": "x"}]}]},
    "no text": {"contents": [{"parts": body()["contents"][0]["parts"][1:]}]},
    "bad ratio": body(aspectRatio="7:5"),
    "bad size": body(imageSize="9K"),
    "bad base64": {"contents": [{"parts": [{"text": "x"}, {"inlineData": {"data": "%%%"}}]}]},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_in_the_services_own_shape(server: Server, name: str) -> None:
    answer = call(server, BAD[name])
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert server.client.get("/_simulator/bill").json()["billed"] == 0


def test_a_missing_key_is_refused(server: Server) -> None:
    answer = call(server, body(), key="")
    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_the_bill_counts_by_job_and_outlives_a_restart(server: Server, tmp_path: Path) -> None:
    call(server, body(), job="a")
    call(server, body(), job="b")
    call(server, {}, job="b")
    report = server.client.get("/_simulator/bill").json()
    assert (report["calls"], report["billed"], report["usd"]) == (3, 2, 0.16)
    again = Server(Simulator(SimulatorOptions(bill_file=tmp_path / "bill.json")).app())
    assert again.client.get("/_simulator/bill").json() == report
    again.stop()
    assert server.client.delete("/_simulator/bill").json()["calls"] == 0


def test_a_picture_costs_what_its_model_and_size_cost(tmp_path: Path) -> None:
    prices = Prices.of("gemini-3-pro-image=0.134 gemini-3-pro-image/4K=0.24", 0.08)
    options = SimulatorOptions(prices=prices, latency_s=0.0, bill_file=tmp_path / "bill.json")
    server = Server(Simulator(options).app())
    pro, vertex = (
        "/v1/models/gemini-3-pro-image:generateContent",
        "/v1/projects/p/locations/global/publishers/google",
    )
    for path, size, job in (
        (PATH, "1K", "a"),
        (PATH, "1K", "b"),
        (pro, "1K", "b"),
        (pro, "4K", "b"),
        (f"{vertex}/models/gemini-3-pro-image:generateContent", "2K", "c"),
    ):
        content = body(imageSize=size) | ({"labels": {"team": "photos"}} if job == "c" else {})
        content["contents"][0]["role"] = "user"
        headers = {"x-goog-api-key": "k", "Authorization": "Bearer t", "x-job-id": job}
        assert server.client.post(path, json=content, headers=headers).status_code == 200
    report = server.client.get("/_simulator/bill").json()
    server.stop()
    assert (report["billed"], report["usd"]) == (5, 0.08 * 2 + 0.134 * 2 + 0.24)
    assert report["by_model"] == {
        "gemini-nano-banana-2.1": {"1K": {"billed": 2, "usd": 0.16}},
        "gemini-3-pro-image": {
            "1K": {"billed": 1, "usd": 0.134},
            "4K": {"billed": 1, "usd": 0.24},
            "2K": {"billed": 1, "usd": 0.134},
        },
    }
    assert [report["by_job"][job]["usd"] for job in "abc"] == [0.08, 0.454, 0.134]
    assert set(report["by_job"]["b"]["by_model"]) == {"gemini-nano-banana-2.1", "gemini-3-pro-image"}
    assert [report["by_job"][job]["labels"] for job in "ac"] == [{}, {"team": "photos"}]
    # prices change; what was billed stays
    again = Server(Simulator(SimulatorOptions(bill_file=tmp_path / "bill.json")).app())
    assert again.client.get("/_simulator/bill").json() == report
    again.stop()


def test_a_bill_of_the_version_before_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "bill.json").write_text('{"a": {"calls": 3, "billed": 2, "at": [1.0, 2.0, 3.0]}}')
    report = Bill(Prices(), tmp_path / "bill.json").report()
    assert (report["calls"], report["billed"], report["usd"]) == (3, 2, 0.16)


@pytest.mark.parametrize("words", ["gemini-9=1", "gemini-3-pro-image/8K=1", "gemini-3-pro-image=x", "0.08"])
def test_prices_that_are_none_are_refused_with_the_way_to_write_them(words: str) -> None:
    with pytest.raises(PricesError, match="model/size=USD"):
        Prices.of(words, 0.08)


def test_faults_can_be_ordered_shown_and_cleared(server: Server) -> None:
    ordered = server.client.post("/_simulator/faults", json={"next": ["503", "429"]}).json()
    assert ordered["next"] == ["503", "429"]
    assert call(server, body()).status_code == 503
    assert server.client.get("/_simulator/faults").json()["next"] == ["429"]
    assert server.client.delete("/_simulator/faults").json() == {"next": [], "rate": 0.0, "kinds": []}
    assert call(server, body()).status_code == 200


def test_a_dead_token_is_also_told_to_who_asks_for_the_model(server: Server) -> None:
    server.client.post("/_simulator/faults", json={"rate": 1, "kinds": ["unauthenticated"]})
    assert call(server, body()).status_code == 401
    headers = {"x-goog-api-key": "k"}
    assert server.client.get(PATH.partition(":")[0], headers=headers).status_code == 401


def test_a_seeded_rate_fails_the_same_calls_each_time(server: Server) -> None:
    order = {"rate": 0.5, "kinds": ["503"], "seed": 7}
    runs = []
    for _ in range(2):
        server.client.post("/_simulator/faults", json=order)
        runs.append([call(server, body()).status_code for _ in range(8)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        # a name of the page's own that points to this machine: to the browser it is the same origin
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "evil.example"},
    ],
)
def test_a_web_page_of_another_site_orders_no_faults_and_clears_no_bill(
    server: Server, headers: dict[str, str]
) -> None:
    call(server, body())
    assert (
        server.client.post("/_simulator/faults", json={"next": ["503"]}, headers=headers).status_code == 403
    )
    assert server.client.delete("/_simulator/bill", headers=headers).status_code == 403
    assert server.client.get("/_simulator/faults").json()["next"] == []
    assert server.client.get("/_simulator/bill").json()["billed"] == 1


def test_a_page_of_another_site_reads_no_bill_but_a_link_to_it_opens(server: Server) -> None:
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": server.url}, 200),
    ):
        assert server.client.get("/_simulator/bill", headers=headers).status_code == status, headers


def test_a_container_that_calls_it_by_its_name_is_served(server: Server) -> None:
    headers = {"Host": "nano-banana:8090", "x-goog-api-key": "k"}
    assert server.client.post(PATH, json=body(), headers=headers).status_code == 200


@pytest.mark.parametrize("order", [{}, [], {"next": ["505"]}, {"rate": 2}, {"rate": 0.1, "kinds": []}])
def test_an_order_that_is_none_is_refused(server: Server, order: Any) -> None:
    answer = server.client.post("/_simulator/faults", json=order)
    assert answer.status_code == 400
    assert answer.json()["error"]
