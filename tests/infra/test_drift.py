"""One name, one value: the code, Bicep, compose.yaml, the images and the workflows say the same."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute

from api.app import create_app
from gpu_container.models import UPSCALE_MODELS
from gpu_container.server import create_app as create_gpu_app
from gpu_container.settings import AuthWords, GpuSettings
from imagery.contracts import JOBS, UPLOADS
from imagery.environment import read, variables
from imagery.old_settings import GONE, NOW
from imagery.settings import Settings
from imagery.storage import LocalStorage
from infra.durable_backend import PROVIDERS, choose
from infra.settings_page import default_text
from tests.infra.bicep import INFRA, Bicep, module

ROOT = Path(__file__).parent.parent.parent

# read by the host and its libraries, not by the code
HOST = {
    "AzureWebJobsDisableHomepage",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "DURABLE_TASK_SCHEDULER_CONNECTION_STRING",
    "FUNCTIONS_WORKER_RUNTIME",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
APP = {each.name for each in variables(Settings)}
GPU = {each.name for each in variables(GpuSettings)}
OLD = NOW.keys() | GONE
# without these nothing works in Azure: names of resources, identities, secrets
NEEDED_IN_AZURE = {
    "ENV",
    "AzureWebJobsStorage__accountName",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CREDENTIAL",
    "AZURE_CLIENT_ID",
    "BLOB_TRIGGER_SOURCE",
    "DATABASE_URL",
    "GPU_SERVICE_URL",
    "GPU_APP_ID",
    "NANO_BANANA_API_KEY",
    "WEBHOOK_SIGNING_KEY",
    "CONTENT_SAFETY_ENDPOINT",
}
COMPOSE_FILE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE_FILE["services"]
IN_AZURE: dict[str, str] = json.loads((INFRA / "app-settings.json").read_text())
UNDER_CORE_TOOLS: dict[str, str] = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
EXAMPLE = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def function_app_settings() -> set[str]:
    """What Bicep sets beside app-settings.json."""
    site = module("function-app")
    text = (
        site.block("resource", "appSettings")
        + site.block("var", "schedulerSettings")
        + site.block("var", "nanoBananaSettings")
        + site.block("var", "providerSettings")
    )
    return set(re.findall(r"^ +([A-Za-z]\w*): ", text, re.MULTILINE)) - {"parent", "name", "properties"}


def container_variables(file: Bicep) -> set[str]:
    """Environment variables of a container in Bicep."""
    found = re.findall(r"name: '(\w+)'\n\s+(?:value|secretRef):", file.text.split("env: [")[1])
    return set(found)


def schedules() -> set[str]:
    """Variables that the host needs for the triggers of ``function_app.py``."""
    return set(re.findall(r'"%(\w+)%"', (ROOT / "function_app.py").read_text()))


def test_no_file_sets_what_nothing_reads() -> None:
    assert IN_AZURE.keys() | function_app_settings() <= APP | HOST
    assert UNDER_CORE_TOOLS.keys() <= APP | HOST
    for name in ("functions", "database"):
        assert SERVICES[name]["environment"].keys() <= APP | HOST, name
    for name in ("gpu", "gpu-nvidia"):
        assert SERVICES[name]["environment"].keys() <= APP | GPU, name
    assert container_variables(module("gpu-app")) <= APP | GPU
    assert container_variables(module("database-job")) <= APP
    interpolated = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert APP | GPU | interpolated | {"COMPOSE_PROFILES"} >= EXAMPLE


def test_what_is_needed_is_set() -> None:
    assert not IN_AZURE.keys() & function_app_settings(), "set twice"
    assert NEEDED_IN_AZURE | schedules() <= IN_AZURE.keys() | function_app_settings()
    assert schedules() <= UNDER_CORE_TOOLS.keys() & SERVICES["functions"]["environment"].keys()
    assert {"AzureWebJobsStorage", "DATABASE_URL", "GPU_SERVICE_URL"} <= SERVICES["functions"][
        "environment"
    ].keys()
    assert "GPU_AUTH" in container_variables(module("gpu-app")), "without it the service lets everybody in"
    passed_on = {name for name, value in SERVICES["gpu"]["environment"].items() if value is None}
    assert passed_on <= EXAMPLE


def test_azure_gets_no_setting_that_repeats_the_codes_default() -> None:
    """A default that is corrected in the code reaches Azure with the code."""
    resources = json.loads((INFRA / "snapshots/dev.snapshot.json").read_text())["predictedResources"]
    (given,) = [each["properties"] for each in resources if each.get("name", "").endswith("/appsettings")]
    defaults = {each.name: default_text(each.field.default) for each in variables(Settings)}
    repeated = {name for name, value in given.items() if defaults.get(name) == value}
    # the host reads schedules itself, so they need a value
    assert repeated - schedules() == set()


def test_the_files_with_settings_hold_valid_ones() -> None:
    for values in (IN_AZURE, UNDER_CORE_TOOLS):
        read(Settings, values)
    auth = re.search(r"value: '(issuer=[^']+)'", module("gpu-app").text)
    assert auth
    read(GpuSettings, {"GPU_AUTH": auth[1]})


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository."""
    command = ["git", "ls-files", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.splitlines()]


WRITTEN = tracked(
    "*.md", "*.sh", "*.yml", "*.yaml", "infra/*.bicep", "infra/*.json", "*.env", "Makefile", "*Dockerfile"
)
# first words of our variables that name nothing else
OURS = (
    r"BATCH|BLOCKED|CALLBACK|CIRCUIT|CONTENT_SAFETY|GPU|GUARDRAIL|LONG_POLL|NANO_BANANA|PICTURE|QUOTA|RECONCILE|"
    r"RETENTION|STAGE_CACHE|TELEMETRY"
)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_a_variable_that_does_not_exist(path: Path) -> None:
    elsewhere = set(re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text()))
    elsewhere |= set(re.findall(r"^output (\w+)", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    # ports of make run
    elsewhere |= set(re.findall(r'"(\w+_PORT)"', (ROOT / "local/options.py").read_text()))
    text = path.read_text(errors="ignore")
    named = set(re.findall(rf"\b(?:{OURS})_[A-Z0-9_]*[A-Z0-9]\b", text))
    old = {name for name in OLD if re.search(rf"\b{name}\b", text)}
    assert (named | old) - APP - GPU - elsewhere == set()


def test_the_containers_of_the_code_are_deployed_and_watched() -> None:
    storage = module("storage")
    declared = r"blobServices/containers@[^=]*= \{\n  parent: blobs\n  name: '([\w-]+)'"
    made = set(re.findall(declared, storage.text))
    assert {UPLOADS, JOBS} <= made
    assert set(re.findall(r"'([\w-]+)'", storage.block("var", "pictureContainers"))) == {UPLOADS, JOBS}
    subscription = module("upload-subscription").text
    assert f"/blobServices/default/containers/{UPLOADS}/" in subscription
    undelivered = re.search(r"blobContainerName: '([\w-]+)'", subscription)
    assert undelivered and undelivered[1] in made
    package = re.search(r"primaryEndpoints.blob\}\$\{(\w+).name", storage.text)
    assert package and f"resource {package[1]} " in storage.text


def test_event_grid_calls_the_function_that_has_the_blob_trigger() -> None:
    code = (ROOT / "function_app.py").read_text()
    name = re.search(r'function_name\("(\w+)"\)\n@app.blob_trigger\(\s+arg_name="\w+", path="(\w+)/', code)
    assert name
    assert f"param functionName string = '{name[1]}'" in module("upload-subscription").text
    assert name[2] == UPLOADS
    assert 'connection="AzureWebJobsStorage"' in code


def host_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
    return found


def test_host_json_names_the_back_end_that_is_deployed() -> None:
    parameters = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    deployed = parameters["durableBackend"]["value"]
    durable = host_json()["extensions"]["durableTask"]
    assert durable["storageProvider"] == PROVIDERS[deployed]
    before = (INFRA / "main.bicep").read_text().split("param durableBackend")[0]
    allowed = re.findall(r"'(\w+)'", before.rsplit("@allowed", 1)[1])
    assert PROVIDERS.keys() <= set(allowed)
    scheduler = PROVIDERS["durableTaskScheduler"]["connectionStringName"]
    assert scheduler in function_app_settings()


def test_the_workers_threads_are_enough_for_what_the_host_sends_at_once() -> None:
    """One pool has all of them in the worker; by default it holds as many as processors and four."""
    durable = host_json()["extensions"]["durableTask"]
    at_once = durable["maxConcurrentActivityFunctions"] + durable["maxConcurrentOrchestratorFunctions"]
    given = [
        IN_AZURE,
        UNDER_CORE_TOOLS,
        SERVICES["functions"]["environment"],
    ]
    for settings in given:
        assert int(settings["PYTHON_THREADPOOL_THREAD_COUNT"]) >= at_once


def test_the_task_hub_has_one_name() -> None:
    hub = host_json()["extensions"]["durableTask"]["hubName"]
    scheduler = module("durable-task-scheduler").block("resource", "taskHub")
    assert f"name: '{hub}'" in scheduler
    assert SERVICES["durable-monitor"]["environment"]["DFM_HUB_NAME"] == hub
    assert SERVICES["durable-task-scheduler"]["environment"]["DTS_TASK_HUB_NAMES"] == hub
    # the queues and tables of Azure Storage are named after it
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,44}", hub)


def test_the_emulator_of_the_second_back_end_is_where_the_host_looks_for_it() -> None:
    """Its container serves gRPC on 8080 and a dashboard on 8082, without a sign-in."""
    name = PROVIDERS["durableTaskScheduler"]["connectionStringName"]
    address = "Endpoint=http://{}:8080;Authentication=None"
    assert SERVICES["functions"]["environment"][name] == address.format("durable-task-scheduler")
    assert UNDER_CORE_TOOLS[name] == address.format("127.0.0.1")
    emulator = SERVICES["durable-task-scheduler"]
    assert emulator["ports"] == ["127.0.0.1:8080:8080", "127.0.0.1:8082:8082"]
    assert emulator["profiles"] == ["durable-task-scheduler"], "the default back end needs none"
    waits = SERVICES["functions"]["depends_on"]["durable-task-scheduler"]
    assert waits == {"condition": "service_started", "required": False}


@pytest.mark.parametrize("backend", sorted(PROVIDERS))
def test_choosing_a_back_end_changes_both_files(tmp_path: Path, backend: str) -> None:
    (tmp_path / "infra").mkdir()
    for name in ("host.json", "infra/main.parameters.json"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    choose(backend, tmp_path)
    host = json.loads((tmp_path / "host.json").read_text())
    assert host["extensions"]["durableTask"]["storageProvider"] == PROVIDERS[backend]
    parameters = json.loads((tmp_path / "infra/main.parameters.json").read_text())
    assert parameters["parameters"]["durableBackend"]["value"] == backend


def routes(app: Any) -> set[str]:
    return {route.path for route in app.routes if isinstance(route, APIRoute)}


def test_the_gpu_services_port_and_health_paths_agree(tmp_path: Path) -> None:
    port = GpuSettings.model_fields["port"].default
    image = (ROOT / "gpu_container/Dockerfile").read_text()
    bicep = module("gpu-app").text
    assert f"EXPOSE {port}\n" in image and f"GPU_PORT={port}" in image and f":{port}/healthz" in image
    assert f"var port = {port}\n" in bicep
    assert SERVICES["gpu"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert (
        SERVICES["functions"]["environment"]["GPU_SERVICE_URL"] == f"${{GPU_SERVICE_URL:-http://gpu:{port}}}"
    )
    assert Settings().gpu.service_url.endswith(f":{port}")
    paths = routes(create_gpu_app(GpuSettings(), LocalStorage(tmp_path)))
    probed = set(re.findall(r"path: '(/\w+)'", bicep))
    assert probed == {"/healthz", "/readyz"} and probed <= paths


def test_the_apps_port_and_health_path_agree() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert "/healthz" in create_app().openapi()["paths"]
    assert "EXPOSE 80\n" in image and "http://127.0.0.1:80/healthz" in image
    assert SERVICES["functions"]["ports"] == ["127.0.0.1:7071:80"]
    assert '"$url/healthz"' in (ROOT / ".github/workflows/deploy.yml").read_text()
    assert "EXPOSE 8090\n" in image and SERVICES["nano-banana"]["ports"] == ["127.0.0.1:8090:8090"]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_time_limits_nest() -> None:
    gpu, app = GpuSettings(), Settings()
    grace = re.search(r"terminationGracePeriodSeconds: (\d+)", module("gpu-app").text)
    assert grace and int(grace[1]) > gpu.drain_s
    assert seconds(SERVICES["gpu"]["stop_grace_period"]) > gpu.drain_s
    assert app.gpu.retry.timeout_s < 240, "the ingress of Container Apps ends a request then"
    hours, minutes, secs = map(int, host_json()["functionTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + secs > max(app.gpu.retry.timeout_s, app.nano_banana.retry.longest_s)


def test_the_storage_account_deletes_later_than_the_code() -> None:
    main = (INFRA / "main.bicep").read_text()
    least = re.search(r"@minValue\((\d+)\)\n@description\([^\n]*\)\nparam blobLifetimeDays", main)
    assert least and int(least[1]) > Settings().upkeep.retention.pictures_days


def test_the_health_check_calls_the_gpu_idle_when_its_replica_sleeps() -> None:
    quiet = re.search(r"^_GPU_QUIET_S = (\d+)$", (ROOT / "api/health.py").read_text(), re.M)
    cooldown = re.search(r"cooldownPeriod: (\d+)", module("gpu-app").text)
    assert quiet and cooldown and quiet[1] == cooldown[1]


def test_the_role_of_the_gpu_app_has_one_name() -> None:
    role = AuthWords().role
    assert f"role={role}'" in module("gpu-app").text
    for hook in ("preprovision", "postprovision"):
        assert set(re.findall(r"GPU\.\w+", (INFRA / f"hooks/{hook}.sh").read_text())) == {role}


def test_python_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = re.match(r">=(3\.\d+)", project["project"]["requires-python"])
    assert found
    version = found[1]
    assert project["tool"]["ruff"]["target-version"] == f"py{version.replace('.', '')}"
    assert project["tool"]["mypy"]["python_version"] == version
    assert f"version: '{version}'" in module("function-app").text
    for path in (ROOT / "Dockerfile", ROOT / "gpu_container/Dockerfile"):
        named = set(re.findall(r"python:?(?:\d-python)?(3\.\d+)", path.read_text()))
        assert named == {version}, path
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        assert set(re.findall(r'python-version: "([\d.]+)"', path.read_text())) == {version}, path.name


def test_versions_that_are_named_twice_are_the_same() -> None:
    azurite = json.loads((ROOT / "local/azurite/package.json").read_text())["dependencies"]["azurite"]
    assert SERVICES["azurite"]["image"].endswith(f":{azurite}")
    postgres = re.search(r"version: '(\d+)'", module("database").text)
    assert postgres and SERVICES["postgres"]["image"].startswith(f"postgres:{postgres[1]}-")
    cuda = re.search(r"ARG CUDA_IMAGE=(\S+)", (ROOT / "gpu_container/Dockerfile").read_text())
    assert cuda and cuda[1] in SERVICES["gpu-nvidia"]["build"]["args"]["CUDA_IMAGE"]
    for path in INFRA.glob("environments/*.env"):
        assert f"CUDA_IMAGE={cuda[1]}\n" in path.read_text()
    node = set(re.findall(r'node-version: "(\d+)"', (ROOT / ".github/workflows/ci.yml").read_text()))
    assert node == set(re.findall(r"node:(\d+)-", (ROOT / "Dockerfile").read_text()))


def test_the_weights_in_the_image_are_those_that_the_code_loads() -> None:
    image = (ROOT / "gpu_container/Dockerfile").read_text()
    official = [model.official for model in UPSCALE_MODELS.values() if model.official]
    named = dict(re.findall(r"/models/(\S+\.pth) .*?\n.*?\"\$(\w+)  /models/", image))
    assert named.keys() == {each.name for each in official}
    for each in official:
        assert f"ARG {named[each.name]}={each.sha256}\n" in image


def metric_families() -> set[str]:
    """Names that the code gives to its metrics: the first argument of what makes one."""
    families = r"(pipeline|nano_banana|guardrail|imagery|circuit_breaker|stage_cache|gpu)_[a-z_]+"
    names = (
        str(node.args[0].value)
        for node in ast.walk(ast.parse((ROOT / "imagery/reporting/metrics.py").read_text()))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    )
    return {name for name in names if re.fullmatch(families, name)}


def test_every_metric_of_the_code_is_shown_in_grafana() -> None:
    names = metric_families()
    assert {"pipeline_latency_seconds", "nano_banana_api_calls"} <= names
    text = (INFRA / "grafana/imagery.json").read_text()
    hidden = {name for name in names if name not in text}
    assert not hidden


def test_compose_scrapes_what_a_laptop_scrapes() -> None:
    files = INFRA / "compose-prometheus.yml", INFRA / "grafana/prometheus.yml"
    ours, theirs = (yaml.safe_load(path.read_text()) for path in files)
    assert ours["rule_files"] == theirs["rule_files"]
    jobs = {job["job_name"]: job["metrics_path"] for job in theirs["scrape_configs"]}
    assert {job["job_name"]: job["metrics_path"] for job in ours["scrape_configs"]} == jobs
    for job in ours["scrape_configs"]:
        service, port = job["static_configs"][0]["targets"][0].split(":")
        assert any(each.endswith(f":{port}") for each in SERVICES[service]["ports"])


def test_compose_mounts_files_that_exist() -> None:
    mounts = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert mounts
    missing = [mount for mount in mounts if not (ROOT / mount).exists()]
    assert not missing
