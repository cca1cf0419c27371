"""``imagery verify`` against an API that is not there: what it sends, prints and returns."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagery.provenance.credentials import Credentials
from imagery.provenance.reader import read
from imagery.provenance.trust import reading_context
from imagery_client.api import ApiClient
from imagery_client.arguments import parser
from imagery_client.commands import Commands
from imagery_client.errors import ClientError, ExitCode
from imagery_client.output import Output
from imagery_client.settings import ApiTarget
from testbed.credentials import camera, camera_photo, model_answer, one_byte_changed
from testbed.pictures import encoded

NOBODY = reading_context("")


def run(*arguments: str) -> ExitCode:
    """One command. The API's part is done by the reader itself, on the file that was sent."""

    def respond(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/api/v1/provenance/verify")
        _, _, rest = request.read().partition(b"\r\n\r\n")
        found: Credentials = read(rest[: rest.rindex(b"\r\n--")], NOBODY)
        return httpx.Response(200, json=found.to_json())

    async def call(chosen: Namespace) -> ExitCode:
        output = Output(is_json=getattr(chosen, "json", False))
        async with ApiClient(ApiTarget("http://api", None), 5.0, output.note) as api:
            api._client._transport = httpx.MockTransport(respond)
            return await Commands(api, output, chosen, []).verify()

    return asyncio.run(call(parser().parse_args(["verify", *arguments])))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


def test_the_chain_of_a_file_is_shown_as_a_tree(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    signer = camera()
    answer = model_answer(signer, ("inputTo", "image/jpeg", camera_photo(signer)))
    assert run(write("a.png", answer), write("b.png", encoded())) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(
        "a.png  valid: not changed since it was signed, by a signer not on the trust list"
    )
    assert lines[1:] == [
        "  because of signingCredential.untrusted",
        "  it says that a model made it, or a part of it",
        "  signed by Camera 1234 (Camera Maker CA) with Model 1.0",
        "    c2pa.created trainedAlgorithmicMedia",
        "    inputTo part 0: valid",
        "      signed by Camera 1234 (Camera Maker CA) with Camera 1.0",
        "        c2pa.created digitalCapture",
        lines[-1],
    ]
    assert lines[-1].endswith("b.png  no Content Credentials")


def test_a_broken_file_ends_with_1(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    broken = write("broken.jpg", one_byte_changed(camera_photo(camera())))
    assert run(broken, write("b.png", encoded()), "--json") is ExitCode.FAILED
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["file"], first["state"], second["state"]) == (broken, "broken", "none")
    assert "assertion.dataHash.mismatch" in first["reasons"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="No such file"):
        run(str(tmp_path / "nothing.png"))
