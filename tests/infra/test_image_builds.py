"""How the images get into the registry, and what the hooks find out about an environment that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed.stack import ROOT
from tests.infra.programs import Programs

ENVIRONMENT = {
    "AZURE_ENV_NAME": "demo",
    "AZURE_LOCATION": "swedencentral",
    "AZURE_RESOURCE_GROUP": "rg-demo",
    "AZURE_CONTAINER_REGISTRY_NAME": "crdemo",
    "AZURE_CONTAINER_REGISTRY_ENDPOINT": "crdemo.azurecr.io",
    "GPU_APP_NAME": "ca-gpu-demo",
    "DATABASE_JOB_NAME": "caj-database-demo",
    "CUDA_IMAGE": "nvidia/cuda:13",
}
STARTED = {"job start": ("run-1", 0), "execution show": ("Succeeded", 0)}


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "programs", dict(STARTED))


def deploy(programs: Programs, builds: str) -> int:
    return programs.run("predeploy", **ENVIRONMENT, IMAGE_BUILDS=builds).returncode


def test_an_open_registry_builds_with_its_own_agents(programs: Programs) -> None:
    assert deploy(programs, "registry") == 0
    functions, gpu = programs.calls("az acr build")
    assert "--image functions:" in functions and "--file Dockerfile ." in functions
    assert "--image gpu:" in gpu
    assert "--file gpu_container/Dockerfile --build-arg CUDA_IMAGE=nvidia/cuda:13 ." in gpu
    assert programs.calls("agentpool") == programs.calls("docker") == []
    (image,) = re.findall(r"--image (gpu:\w{12}) ", gpu)
    (update,) = programs.calls("az containerapp update")
    assert update.endswith(f"--image crdemo.azurecr.io/{image}")


def test_a_private_registry_builds_with_an_agent_that_runs_only_meanwhile(programs: Programs) -> None:
    assert deploy(programs, "pool") == 0
    acr = programs.calls("az acr")
    assert ["--count 1" in acr[0], "--count 0" in acr[-1]] == [True, True]
    assert len(acr) == 4 and all("--agent-pool builds" in each for each in acr[1:3])


def test_a_build_that_fails_stops_the_agent_and_the_deployment(programs: Programs) -> None:
    programs.answers["acr build"] = ("denied: client with IP is not allowed access", 1)
    done = programs.run("predeploy", **ENVIRONMENT, IMAGE_BUILDS="pool")
    assert done.returncode != 0
    assert "client with IP is not allowed access" in done.stderr, "it says why"
    assert "--count 0" in programs.calls("agentpool")[-1], "an agent would go on costing money"
    assert programs.calls("containerapp update") == programs.calls("job start") == []


def test_without_a_pool_who_deploys_builds_and_pushes(programs: Programs) -> None:
    assert deploy(programs, "docker") == 0
    assert programs.calls("acr build") == programs.calls("agentpool") == []
    pushed = [line.split()[-1] for line in programs.calls("docker push")]
    assert [image.split(":")[0] for image in pushed] == [
        "crdemo.azurecr.io/functions",
        "crdemo.azurecr.io/gpu",
    ]
    built = programs.calls("docker build")
    assert all("--platform linux/amd64" in line for line in built) and len(built) == 2


def test_an_environment_of_before_is_told_to_provision_first(programs: Programs) -> None:
    done = programs.run("predeploy", **ENVIRONMENT)
    assert done.returncode != 0 and "run azd provision first" in done.stderr
    assert programs.calls("acr") == programs.calls("docker") == []


def test_a_gpu_image_of_the_same_files_is_not_built_again(programs: Programs) -> None:
    assert deploy(programs, "registry") == 0
    (image,) = re.findall(r"--image (crdemo.azurecr.io/gpu:\w+)", programs.calls("containerapp update")[0])
    programs.answers["containerapp show"] = (image, 0)
    assert deploy(programs, "registry") == 0
    assert len(programs.calls("az acr build")) == 1 and programs.calls("containerapp update") == []
    other = ENVIRONMENT | {"CUDA_IMAGE": "nvidia/cuda:12"}
    assert programs.run("predeploy", **other, IMAGE_BUILDS="registry").returncode == 0
    assert len(programs.calls("az acr build")) == 2, "another base makes another image"


def test_the_tag_of_the_gpu_image_stands_for_all_that_its_dockerfile_copies() -> None:
    image = (ROOT / "gpu_container/Dockerfile").read_text()
    copied = {
        source.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.*)$", image, re.MULTILINE)
        for source in line.split()[:-1]
    }
    hook = (ROOT / "infra/hooks/predeploy.sh").read_text()
    (listed,) = re.findall(r"git ls-files -- (.*)\)", hook)
    assert copied <= set(listed.split())


def test_the_code_is_not_deployed_before_its_migrations_are_through(programs: Programs) -> None:
    programs.answers["execution show"] = ("Failed", 0)
    done = programs.run("predeploy", **ENVIRONMENT, IMAGE_BUILDS="registry")
    assert done.returncode == 1 and "run-1 ended as 'Failed'" in done.stderr
    assert programs.calls("containerapp update") == []


def provision(programs: Programs) -> dict[str, str]:
    done = programs.run("preprovision", AZURE_ENV_NAME="demo", AZURE_LOCATION="swedencentral")
    assert done.returncode == 0, done.stderr
    return programs.was_set()


def test_a_new_environment_starts_with_placeholders_and_a_key_of_its_own(programs: Programs) -> None:
    programs.answers |= {"group exists": ("false", 0), "azd env get-value": ("", 1)}
    given = provision(programs)
    assert (given["GPU_IMAGE"], given["DATABASE_JOB_IMAGE"]) == ("", "")
    assert given["NANO_BANANA_KEY_STORED"] == "false"
    assert given["SIGNING_KEY_VERSION"] == ""
    assert re.fullmatch(r"[0-9a-f]{64}", given["WEBHOOK_SIGNING_KEY"])


def test_an_environment_that_is_there_keeps_its_images_and_its_keys(programs: Programs) -> None:
    """A pipeline's checkout knows nothing of what was deployed before."""
    programs.answers |= {
        "group exists": ("true", 0),
        "containerapp list": ("crdemo.azurecr.io/gpu:1", 0),
        "job list": ("crdemo.azurecr.io/functions:1", 0),
        "keyvault list": ("/subscriptions/s/resourceGroups/rg-demo/vaults/kv", 0),
        "tags.keyVersion": ("4" * 32, 0),
        "az rest": ("nano-banana-api-key\nwebhook-signing-key", 0),
        "azd env get-value": ("", 1),
    }
    given = provision(programs)
    assert given["GPU_IMAGE"] == "crdemo.azurecr.io/gpu:1"
    assert given["DATABASE_JOB_IMAGE"] == "crdemo.azurecr.io/functions:1"
    assert given["NANO_BANANA_KEY_STORED"] == "true"
    assert given["SIGNING_KEY_VERSION"] == "4" * 32
    assert "WEBHOOK_SIGNING_KEY" not in given, "a new master key would change every signature"


@pytest.mark.parametrize(
    ("regions", "profiles", "missing"),
    [
        ("westus3\nswedencentral", "D4\nConsumption-GPU-NC8as-T4", []),
        ("westus3", "D4", ["Flex Consumption", "Consumption-GPU-NC8as-T4"]),
        ("", "", []),
    ],
)
def test_a_region_that_lacks_something_is_named_before_anything_is_made(
    programs: Programs, regions: str, profiles: str, missing: list[str]
) -> None:
    programs.answers |= {
        "list-flexconsumption-locations": (regions, 0),
        "list-supported": (profiles, 0),
        "group exists": ("false", 0),
    }
    done = programs.run("preprovision", AZURE_ENV_NAME="demo", AZURE_LOCATION="swedencentral")
    assert done.returncode == 0
    assert re.findall(r"does not list (.+?) in swedencentral", done.stderr) == missing


@pytest.mark.parametrize(("required", "changes"), [("true", 0), ("false", 1)])
def test_a_pipeline_changes_nothing_of_an_app_registration_that_is_complete(
    programs: Programs, required: str, changes: int
) -> None:
    """It may change only what it owns, and a person may have made this one."""
    programs.answers |= {
        "ad app list": ("22222222-2222-2222-2222-222222222222", 0),
        "appRoleAssignmentRequired --output": (required, 0),
        "group exists": ("false", 0),
    }
    assert provision(programs)["GPU_APP_ID"] == "22222222-2222-2222-2222-222222222222"
    assert len(programs.calls("ad sp update")) == changes
    assert programs.calls("ad app create") == []


def test_the_function_app_may_call_the_gpu_app_once_and_secrets_are_forgotten(programs: Programs) -> None:
    programs.answers |= {
        "--query id": ("gpu-principal", 0),
        "appRoles": ("role-id", 0),
        "--method get": ("", 0),
    }
    known = {"GPU_APP_ID": "app", "FUNCTIONS_PRINCIPAL_ID": "functions-principal"}
    done = programs.run("postprovision", **known)
    assert done.returncode == 0 and "Pictures are not signed" in done.stdout
    (given,) = programs.calls("--method post")
    assert "/servicePrincipals/gpu-principal/appRoleAssignedTo" in given
    assert all(each in given for each in ("functions-principal", "role-id"))
    assert programs.was_set() == {"WEBHOOK_SIGNING_KEY": "", "NANO_BANANA_API_KEY": ""}
    programs.answers["--method get"] = ("assignment-id", 0)
    done = programs.run("postprovision", **known, SIGNING_KEY_VERSION="4" * 32)
    assert done.returncode == 0 and f"signed by version {'4' * 32}" in done.stdout
    assert programs.calls("--method post") == []


def test_what_cannot_be_looked_up_ends_the_deployment(programs: Programs) -> None:
    programs.answers |= {"group exists": ("true", 0), "containerapp list": ("no answer", 1)}
    done = programs.run("preprovision", AZURE_ENV_NAME="demo", AZURE_LOCATION="swedencentral")
    assert done.returncode != 0, "placeholders would replace what runs"
