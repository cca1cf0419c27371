"""``python -m local.stack`` as a user runs it: real pieces, real models, the simulator instead of money."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from rich.console import Console

from local.options import parse
from local.orphans import start_mark
from local.stack import Stack
from local.state import RunFolder
from testbed.pictures import small_photo
from testbed.ports import free_port

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parent.parent.parent
PORTS = (
    "PORT",
    "GPU_PORT",
    "NANO_BANANA_PORT",
    "AZURITE_BLOB_PORT",
    "AZURITE_QUEUE_PORT",
    "AZURITE_TABLE_PORT",
)
LIMIT_S = 120


class Run:
    """One ``python -m local.stack``."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.out = folder / f"out-{len(list(folder.glob('out-*')))}.txt"
        ports = {name: str(free_port()) for name in PORTS}
        inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "ENV")}
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.stack", "--run-dir", str(folder / "run"), *options],
                cwd=ROOT,
                env=inherited | {"NANO_BANANA_API_KEY": ""} | ports | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self.out.read_text()

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "run/state.json").read_text())
        return state

    @property
    def has_state(self) -> bool:
        """True once it has written its own state."""
        try:
            return bool(self.state["pids"]["stack"] == self.process.pid)
        except FileNotFoundError:
            return False

    def end(self) -> int:
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it did not end:\n{self.text}") from None

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until and self.process.poll() is None:
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"it did not come to pass:\n{self.text}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*options: str, **environment: str) -> Run:
        runs.append(Run(tmp_path / "stack", *options, **environment))
        return runs[-1]

    yield make
    for run in runs:
        if run.process.poll() is None:
            run.stop()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A stack on Azurite whose picture is refused, and that serves all the same.

    On a machine whose proxy must not be asked for its own pieces.
    """
    proxy = f"http://127.0.0.1:{free_port()}"
    proxies = {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "example.org"}
    folder = tmp_path_factory.mktemp("serving")
    image = folder / "not a photo.jpg"
    image.write_text("this is text")
    run = Run(folder, "--image", str(image), **proxies)
    run.wait_for(lambda: "serving; Ctrl-C" in run.text)
    yield run
    run.stop(signal.SIGINT)


def test_once_runs_a_picture_through_all_stages_and_ends_everything(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    # the sample itself is what the commands of README run
    (image := tmp_path / "small.jpg").write_bytes(small_photo())
    run = start("--once", "--storage", "local", "--image", str(image))
    assert run.end() == 0, run.text
    assert "Nano Banana: SIMULATED (no NANO_BANANA_API_KEY) - no money is spent" in run.text
    assert "nano_banana  SUCCEEDED" in run.text
    (results,) = (run.folder / "run/results").iterdir()
    sizes = {file.name: Image.open(file).size for file in results.iterdir()}
    assert set(sizes) == {"1-rembg.png", "2-realesrgan.png", "3-nano-banana.png"}
    assert sizes["2-realesrgan.png"] == tuple(4 * side for side in sizes["1-rembg.png"])
    assert all(str(results / name) in run.text for name in sizes)
    assert not (run.folder / "run/state.json").exists()


def test_a_refused_picture_is_said_with_its_reason(serving: Run) -> None:
    (line,) = (line for line in serving.text.splitlines() if line.startswith("not a photo.jpg: refused: "))
    assert line.endswith("(unsupported_image_type)")


@pytest.mark.parametrize("code", [0, 1])
def test_once_ends_as_its_picture_did(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "_start", lambda _: None)
    monkeypatch.setattr(Stack, "_run_picture", lambda _: code)
    ports = [f"--{name.lower().replace('_', '-')}={free_port()}" for name in PORTS]
    options = parse(["--once", "--storage", "local", "--run-dir", str(tmp_path), *ports])
    with RunFolder(options.run_dir) as folder:
        stack = Stack(options, folder, Console(quiet=True))
        before = {
            number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        try:
            assert stack.run() == code
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def test_the_state_tells_tools_where_everything_is(serving: Run) -> None:
    state = serving.state
    assert httpx.get(f"{state['urls']['host']}/healthz", timeout=30).json()["status"] == "ok"
    assert httpx.get(f"{state['urls']['gpu']}/readyz").json()["ready"]
    assert httpx.get(f"{state['urls']['nano_banana']}/_simulator/bill").json()["calls"] == 0
    assert set(state["ports"]) == set(PORTS)
    assert set(state["pids"]) == {"stack", "azurite", "gpu", "simulator", "host"}
    assert state["pids"]["stack"] == serving.process.pid
    assert f":{state['ports']['AZURITE_BLOB_PORT']}/" in state["storage_connection_string"]
    assert state["database_url"].startswith("sqlite:///")
    me = httpx.get(f"{state['urls']['host']}/api/v1/me", headers={"X-API-Key": state["api_key"]})
    assert me.json()["role"] == "admin"
    assert f"{state['urls']['host']}/#key={state['api_key']}" in serving.text, "the link signs in"
    assert stat.S_IMODE((serving.folder / "run/api.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((serving.folder / "run/state.json").stat().st_mode) == 0o600


def test_the_connection_string_of_the_state_opens_the_uploads_container(serving: Run) -> None:
    from azure.storage.blob import ContainerClient

    connection = serving.state["storage_connection_string"]
    with ContainerClient.from_connection_string(connection, "uploads") as container:
        assert container.exists()


def test_make_users_makes_a_user_of_the_running_stack_from_a_fresh_shell(serving: Run) -> None:
    fresh = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        # the packages are there; a newer requirements file must not install them again here
        ["make", "--old-file=.venv/.packages", "users", "ARGS=create ann"],
        check=False,
        cwd=ROOT,
        env=fresh | {"IMAGERY_RUN_DIR": str(serving.folder / "run")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    key = done.stdout.splitlines()[-1]
    me = httpx.get(f"{serving.state['urls']['host']}/api/v1/me", headers={"X-API-Key": key})
    assert me.json()["name"] == "ann"


def test_a_second_stack_in_the_folder_is_refused_and_the_first_lives_on(serving: Run) -> None:
    second = Run(serving.folder, "--no-sample")
    assert second.end() == 2
    assert f"already running in this folder (pid {serving.process.pid})" in second.text
    assert serving.process.poll() is None
    assert serving.state["pids"]["stack"] == serving.process.pid


def test_a_killed_host_is_started_again_and_the_state_follows(serving: Run) -> None:
    before = serving.state["pids"]["host"]
    os.kill(before, signal.SIGKILL)
    serving.wait_for(lambda: serving.state["pids"]["host"] != before)

    def is_healthy() -> bool:
        try:
            return httpx.get(f"{serving.state['urls']['host']}/healthz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    serving.wait_for(is_healthy)


def test_ctrl_c_ends_every_child_and_is_no_failure(start: Callable[..., Run]) -> None:
    run = start("--no-sample")
    run.wait_for(lambda: run.has_state)
    pids = run.state["pids"]
    began = time.monotonic()
    # pieces are still starting: also then it is heard
    assert run.stop(signal.SIGINT) == 0, run.text
    assert time.monotonic() - began < 60
    assert [name for name, pid in pids.items() if start_mark(pid) is not None] == []
    assert not (run.folder / "run/state.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal of the parent is Linux's")
def test_nothing_survives_a_killed_stack_and_the_next_one_starts(start: Callable[..., Run]) -> None:
    run = start("--no-sample", "--storage", "local")
    run.wait_for(lambda: run.has_state)
    pids = run.state["pids"]
    run.stop(signal.SIGKILL)
    until = time.monotonic() + 20
    while any(start_mark(pid) for pid in pids.values()) and time.monotonic() < until:
        time.sleep(0.05)
    assert [name for name, pid in pids.items() if start_mark(pid) is not None] == []
    again = start("--no-sample", "--storage", "local")
    again.wait_for(lambda: again.has_state)


def test_with_a_key_the_price_is_told_and_nothing_is_simulated(start: Callable[..., Run]) -> None:
    run = start("--no-sample", "--storage", "local", NANO_BANANA_API_KEY="a-key")
    run.wait_for(lambda: run.has_state)
    assert "Nano Banana: REAL: each image costs $0.08" in run.text
    assert set(run.state["pids"]) == {"stack", "gpu"}
    assert "nano_banana" not in run.state["urls"]
    assert "a-key" not in json.dumps(run.state)


def test_a_missing_model_ends_the_start_at_once_with_the_way_out(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start("--no-sample", "--storage", "local", GPU_MODEL_CACHE=str(tmp_path / "empty"))
    assert run.end() == 1, run.text
    assert "gpu can't run" in run.text
    assert "gpu_container.fetch_models" in run.text


def test_a_database_that_is_not_there_ends_the_start_with_the_reason(start: Callable[..., Run]) -> None:
    url = f"postgresql+psycopg://nobody:nothing@127.0.0.1:{free_port()}/none"
    run = start("--no-sample", "--storage", "local", DATABASE_URL=url)
    assert run.end() == 1, run.text
    assert "database ended with exit code 1" in run.text
    assert "Is DATABASE_URL right" in run.text


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        (["--image", "no/such.jpg"], {}, "there is no file"),
        (["--storage", "local"], {"ENV": "PROD"}, "ENV=PROD stores in Azure Blob Storage"),
        ([], {"ENV": "TEST"}, "ENV is 'TEST'"),
        ([], {"PORT": "seven"}, "PORT=seven is not a port"),
        ([], {"PORT": "99999"}, "PORT=99999 is not a port"),
        ([], {"PORT": "9000", "GPU_PORT": "9000"}, "GPU_PORT=9000 is taken by PORT"),
        (["--host", "func"], {"PATH": ""}, "'func' is not installed"),
    ],
)
def test_what_can_not_be_is_refused_with_code_2(
    start: Callable[..., Run], options: list[str], environment: dict[str, str], told: str
) -> None:
    run = start(*options, **environment)
    assert run.end() == 2, run.text
    assert told in run.text
