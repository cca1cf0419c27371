"""``make doctor`` in made-up projects: each broken thing is named together with the way to fix it."""

from __future__ import annotations

import http.server
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagery import settings
from local import doctor
from testbed.ports import free_port

ROOT = Path(__file__).parent.parent.parent
PORTS = (
    "PORT",
    "GPU_PORT",
    "NANO_BANANA_PORT",
    "AZURITE_BLOB_PORT",
    "AZURITE_QUEUE_PORT",
    "AZURITE_TABLE_PORT",
)


class Project:
    """A project that is set up as it should be, for tests to break."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "programs"
        self.environment = {"PATH": str(self.programs), "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
        caches = ("GPU_MODEL_CACHE", "XDG_CACHE_HOME")
        self.environment |= {name: os.environ[name] for name in caches if name in os.environ}
        self.environment |= {name: str(free_port()) for name in PORTS}
        # as locks are written: hashes and what needs it on lines of their own, and what is for other systems
        locked = (
            f"httpx=={importlib.metadata.version('httpx')} \\\n    --hash=sha256:{'0' * 64}\n    # via api\n"
        )
        other = f"colorama==0.0.1 ; sys_platform == 'win32' \\\n    --hash=sha256:{'0' * 64}\n"
        self.write("requirements.txt", locked + other)
        self.write("requirements-local.txt", f"rich=={importlib.metadata.version('rich')}\n")
        for name in ("requirements.txt", "requirements-sources.txt", "requirements-torch.in"):
            self.write(f"gpu_container/{name}", "# none\n")
        self.program("node", "echo v20.1.0")
        self.program("npm", "echo 10")
        self.program("make", "echo GNU Make 4.3")
        self.script(".venv/bin/python", f'exec "{sys.executable}" "$@"')
        self.write(".venv/.packages", "")
        lock = {"packages": {"node_modules/azurite": {"version": "3.37.0"}}}
        self.write("local/azurite/package-lock.json", json.dumps(lock))
        self.write("local/azurite/node_modules/azurite/package.json", json.dumps({"version": "3.37.0"}))
        self.script("local/azurite/node_modules/.bin/azurite", "exit 0")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def script(self, name: str, line: str) -> None:
        self.write(name, f"#!/bin/sh\n{line}\n").chmod(0o755)

    def program(self, name: str, line: str) -> None:
        self.script(f"programs/{name}", line)

    def run(self, *options: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "local.doctor", "--root", str(self.root), *options]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )

    def look(self, *names: str) -> dict[str, dict[str, Any]]:
        """Findings by name, of what is named or of everything."""
        done = self.run("--json", *names)
        assert not done.stderr
        findings = {each["name"]: each for each in json.loads(done.stdout)}
        assert done.returncode == (0 if all(each["ok"] for each in findings.values()) else 1)
        return findings

    def problem(self, name: str, kind: str = "") -> str:
        """What was found, and the way to fix it, of something that must be a problem."""
        finding = self.look(kind or name)[name]
        assert not finding["ok"], finding
        assert finding["fix"]
        return f"{finding['found']} -> {finding['fix']}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


@pytest.mark.slow
def test_a_project_that_is_set_up_has_no_problem(project: Project) -> None:
    findings = project.look()
    assert all(each["ok"] for each in findings.values()), findings
    assert {"python", "venv", "node", "make", "disk", "memory", "proxy", "packages"} < set(findings)
    assert {"models", "azurite", "stack", f"port {project.environment['PORT']}"} < set(findings)


def test_the_text_says_ok_or_problem_a_line_and_how_to_mend_it(project: Project) -> None:
    (project.programs / "npm").unlink()
    done = project.run("node", "make")
    assert done.returncode == 1
    assert re.search(r"^OK +make +GNU Make 4.3$", done.stdout, re.MULTILINE)
    assert re.search(r"^PROBLEM +node +npm is missing\n +-> install node 20", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("1 to fix\n")


def test_a_check_that_does_not_exist_is_refused(project: Project) -> None:
    done = project.run("kettle")
    assert done.returncode == 2
    assert "no check called kettle" in done.stderr


def test_nothing_installed_names_what_make_setup_would_bring(project: Project) -> None:
    shutil.rmtree(project.root / ".venv")
    shutil.rmtree(project.root / "local/azurite/node_modules")
    findings = project.look()
    problems = {name: each["fix"] for name, each in findings.items() if not each["ok"]}
    assert problems == {"packages": "make setup", "models": "make setup", "azurite": "make setup"}


@pytest.mark.parametrize("line", ["echo v18.19.0", "exit 1", "echo nonsense"])
def test_an_old_or_broken_node_is_a_problem(project: Project, line: str) -> None:
    project.program("node", line)
    assert "install node 20 or newer" in project.problem("node")


def test_a_missing_make_is_a_problem(project: Project) -> None:
    (project.programs / "make").unlink()
    assert "apt-get install make" in project.problem("make")


def test_another_make_than_gnus_is_a_problem(project: Project) -> None:
    project.program("make", "echo bmake")
    assert "GNU make" in project.problem("make")


def test_a_taken_port_names_its_holder_and_the_variable_to_set(project: Project, listener: int) -> None:
    project.environment["GPU_PORT"] = str(listener)
    told = project.problem(f"port {listener}", "ports")
    assert "make run GPU_PORT=" in told
    if sys.platform == "linux":
        assert f"pid {os.getpid()}" in told


def test_a_port_of_the_running_stack_is_no_problem(project: Project, listener: int) -> None:
    project.environment["PORT"] = str(listener)
    state = {"pids": {"stack": os.getpid()}, "ports": {"PORT": listener}}
    project.write(".run/state.json", json.dumps(state))
    findings = project.look("ports", "stack")
    assert findings[f"port {listener}"]["ok"]
    assert findings["stack"]["found"] == f"running (pid {os.getpid()})"


def test_a_number_that_is_no_port_is_a_problem(project: Project) -> None:
    project.environment["PORT"] = "70000"
    assert "PORT is not a port" in project.problem("port 70000", "ports")


def test_the_state_of_a_stack_that_is_gone_is_a_problem(project: Project) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    project.write(".run/state.json", json.dumps({"pids": {"stack": gone.pid}}))
    assert f"pid {gone.pid}, which has ended" in project.problem("stack")


def test_a_state_that_is_not_json_does_not_stop_the_doctor(project: Project) -> None:
    project.write(".run/state.json", "{")
    assert project.look("stack")["stack"]["ok"]


def test_a_package_in_another_version_is_a_problem(project: Project) -> None:
    project.write("requirements.txt", "httpx==0.0.1\nno-such-package==1.0\n")
    told = project.problem("packages")
    assert f"httpx is {importlib.metadata.version('httpx')}, not 0.0.1" in told
    assert "no-such-package is missing, not 1.0" in told
    assert "make setup" in told


def test_a_virtual_environment_that_does_not_run_is_a_problem(project: Project) -> None:
    project.script(".venv/bin/python", "echo broken >&2; exit 1")
    findings = project.look("packages", "models")
    assert "does not run: broken" in findings["packages"]["found"]
    assert not findings["models"]["ok"]


@pytest.mark.slow
def test_models_that_are_not_there_are_a_problem(project: Project) -> None:
    project.environment["GPU_MODEL_CACHE"] = str(project.root / "empty")
    assert "-m gpu_container.fetch_models" in project.problem("models")


def test_another_azurite_than_the_pinned_one_is_a_problem(project: Project) -> None:
    project.write("local/azurite/node_modules/azurite/package.json", json.dumps({"version": "3.1.0"}))
    assert "3.1.0, not 3.37.0" in project.problem("azurite")


def test_a_proxy_that_nobody_answers_at_is_a_problem_and_its_password_is_not_shown(project: Project) -> None:
    project.environment["HTTPS_PROXY"] = f"http://user:secret@127.0.0.1:{free_port()}"
    told = project.problem("proxy")
    assert "HTTPS_PROXY is 127.0.0.1, which can't be reached" in told
    assert "secret" not in told


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "127.0.0.1:{}"])
def test_a_proxy_that_answers_is_no_problem(project: Project, listener: int, address: str) -> None:
    project.environment["https_proxy"] = address.format(listener)
    assert project.look("proxy")["proxy"]["ok"]


def test_the_doctor_imports_the_standard_library_alone(project: Project) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); import local.doctor",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Described(http.server.BaseHTTPRequestHandler):
    """Answers as the image model's service does, with the status that its server has."""

    def do_GET(self) -> None:
        status: int = self.server.status  # type: ignore[attr-defined]
        error = {"error": {"code": status, "message": "no", "status": "PERMISSION_DENIED"}}
        body = json.dumps({"name": "models/x"} if status == 200 else error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def provider(project: Project) -> Iterator[http.server.HTTPServer]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Described)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    project.environment["NANO_BANANA_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_key_the_image_model_is_simulated(project: Project) -> None:
    found = project.look("image-model")["image-model"]
    assert (found["ok"], "simulated" in found["found"]) == (True, True)


def test_a_key_is_tried_and_a_dead_one_is_named(project: Project, provider: http.server.HTTPServer) -> None:
    project.environment["NANO_BANANA_API_KEY"] = "the key"
    found = project.look("image-model")["image-model"]
    assert (found["ok"], "key and model are good" in found["found"]) == (True, True)
    provider.status = 403  # type: ignore[attr-defined]
    assert "nano_banana_forbidden: the key is dead" in project.problem("image-model")


def test_what_the_provider_of_the_image_model_lacks_is_named(project: Project) -> None:
    assert project.look("provider")["provider"]["found"] == "the simulator"
    project.environment["NANO_BANANA_PROVIDER"] = "name=vertex project=shop"
    assert "add pool=... app_id=... to NANO_BANANA_PROVIDER" in project.problem("provider")
    project.environment["NANO_BANANA_PROVIDER"] = "fallback=vertex:m project=shop pool=p app_id=a"
    assert "NANO_BANANA_API_KEY" in project.problem("provider")
    project.environment["NANO_BANANA_API_KEY"] = "a key"
    assert project.look("provider")["provider"]["found"] == "gemini_api then vertex"


def test_the_doctor_asks_for_what_the_settings_ask_for() -> None:
    assert doctor._NEEDED_BY_VERTEX == settings._NEEDED_BY_VERTEX
