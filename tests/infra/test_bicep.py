"""What would be deployed, from the snapshots of Microsoft's compiler, and what azd needs beside it.

``bicep lint`` says whether the files fit together; infra/lint.sh holds the snapshots against them.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from itertools import combinations
from typing import Any

import pytest

from imagery.environment import read
from imagery.settings import Settings
from infra.snapshot_sources import HASHES, sources
from testbed.stack import ROOT
from tests.infra.bicep import INFRA, Bicep, all_files

MAIN = Bicep(INFRA / "main.bicep")
FILES = all_files()
# set by azd itself, or by a hook
GIVEN_BY_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "GPU_APP_ID", "BUDGET_START"}


def file_id(file: Bicep) -> str:
    return file.path.stem


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_every_file_parses(file: Bicep) -> None:
    assert set(file.tree) >= {"resources", "modules"} or file.tree


def test_the_parameters_file_gives_known_parameters_and_all_required_ones() -> None:
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() <= MAIN.parameters.keys()
    assert {name for name, required in MAIN.parameters.items() if required} <= given.keys()


def test_every_variable_of_the_parameters_file_has_a_value() -> None:
    text = (INFRA / "main.parameters.json").read_text()
    variables = dict(re.findall(r"\$\{(\w+)(=[^}]*)?\}", text))
    assert {name for name, default in variables.items() if not default} == GIVEN_BY_AZD
    for path in INFRA.glob("environments/*.env"):
        names = set(re.findall(r"^(\w+)=", path.read_text(), re.MULTILINE)) - {"CUDA_IMAGE", "PINNED_IMAGES"}
        assert names <= variables.keys(), path.name
    hooks = "".join(path.read_text() for path in INFRA.glob("hooks/*.sh"))
    assert {"GPU_APP_ID", "BUDGET_START"} <= set(re.findall(r"azd env set (\w+)", hooks))


def test_the_hooks_read_only_what_is_given_to_them() -> None:
    variables = set(re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text()))
    given = MAIN.outputs | GIVEN_BY_AZD | variables | {"CUDA_IMAGE", "FUNCTIONS_IMAGE", "PINNED_IMAGES"}
    for path in (INFRA / "image.sh", *INFRA.glob("hooks/*.sh")):
        text = path.read_text()
        own = set(re.findall(r"^\s*(\w+)=", text, re.MULTILINE))
        assert set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text)) - own <= given, path.name


def test_azd_finds_its_hooks_and_its_services() -> None:
    text = (ROOT / "azure.yaml").read_text()
    for hook in re.findall(r"run: (\S+)", text):
        path = ROOT / hook
        assert path.stat().st_mode & 0o100, f"{hook} can't be run"
    services = set(re.findall(r"^  (\w+):\n    project", text, re.MULTILINE))
    tagged = {tag for file in FILES for tag in re.findall(r"'azd-service-name': '(\w+)'", file.text)}
    assert services == tagged == {"functions"}


# ids as learn.microsoft.com/azure/role-based-access-control/built-in-roles lists them (2026-11-27); no
# package that can be installed here holds them
ROLES = json.loads((INFRA / "roles.json").read_text())


def snapshot(name: str) -> list[dict[str, Any]]:
    """The resources that Microsoft's compiler says an environment gets."""
    found = json.loads((INFRA / f"snapshots/{name}.snapshot.json").read_text())
    assert found["diagnostics"] == []
    resources: list[dict[str, Any]] = found["predictedResources"]
    return resources


DEPLOYED = {name: snapshot(name) for name in ("dev", "prod")}
DEPLOYER = "11111111-1111-1111-1111-111111111111"


def only(name: str, kind: str) -> dict[str, Any]:
    """The one resource of a type."""
    (found,) = [each for each in DEPLOYED[name] if each["type"] == kind]
    return found


def granted(name: str) -> set[tuple[str, str, str]]:
    """Who has which role on what: principal, role, and the type of resource or the name of the container."""
    roles = {value: key for key, value in ROLES.items()}
    found = set()
    for each in DEPLOYED[name]:
        if each["type"] != "Microsoft.Authorization/roleAssignments":
            continue
        scope = re.search(r"/providers/([^']*?)(?:/providers/Microsoft.Authorization|')", each["id"])
        who = str(each["properties"]["principalId"])
        program = re.search(r"outputs\.(\w+)\.value\.principalId", who)
        topic = "topic" if "/systemTopics/" in who else who.replace(DEPLOYER, "deployer")
        role = roles[str(each["properties"]["roleDefinitionId"]).rsplit("/", 1)[1]]
        assert scope, f"{each['name']} would hold for the whole resource group"
        on = scope[1].split("/")
        # the storage account has a name only once it is there, for the module of the topic
        unnamed = re.match(r"\[if\(equals\(resourceId\(.*?'default', '([\w-]+)'\)", each["id"])
        place = unnamed[1] if unnamed else on[-1] if "containers" in on else on[-2]
        found.add((program[1] if program else topic, role, place))
    return found


EVERYWHERE = {
    ("functions", "keyVaultCryptoUser", "keys"),
    ("functions", "keyVaultSecretsUser", "vaults"),
    ("functions", "monitoringMetricsPublisher", "components"),
    ("functions", "storageBlobDataOwner", "storageAccounts"),
    ("functions", "storageQueueDataContributor", "storageAccounts"),
    ("functions", "storageTableDataContributor", "storageAccounts"),
    ("gpu", "acrPull", "registries"),
    ("gpu", "monitoringMetricsPublisher", "components"),
    ("gpu", "storageBlobDataContributor", "jobs"),
    ("databaseJob", "acrPull", "registries"),
    ("topic", "storageBlobDataContributor", "upload-events-undelivered"),
    ("deployer", "storageBlobDataContributor", "uploads"),
    ("deployer", "storageBlobDataReader", "jobs"),
    ("deployer", "keyVaultSecretsOfficer", "vaults"),
}


def test_everybody_has_the_roles_they_need_and_no_other() -> None:
    """No management role anywhere, and data roles on the smallest scope that works."""
    assert granted("dev") == EVERYWHERE | {("functions", "cognitiveServicesUser", "accounts")}
    assert granted("prod") == EVERYWHERE | {
        ("functions", "durableTaskDataContributor", "taskHubs"),
        ("deployer", "durableTaskDataContributor", "taskHubs"),
    }
    assert {role for name in DEPLOYED for _, role, _ in granted(name)} == ROLES.keys()


@pytest.mark.parametrize("name", DEPLOYED)
def test_nothing_is_reached_with_a_shared_secret(name: str) -> None:
    assert only(name, "Microsoft.Storage/storageAccounts")["properties"]["allowSharedKeyAccess"] is False
    registry = only(name, "Microsoft.ContainerRegistry/registries")["properties"]
    assert registry["adminUserEnabled"] is False and registry["anonymousPullEnabled"] is False
    assert only(name, "Microsoft.Insights/components")["properties"]["DisableLocalAuth"] is True
    database = only(name, "Microsoft.DBforPostgreSQL/flexibleServers")["properties"]
    assert database["authConfig"]["passwordAuth"] == "Disabled"
    assert database["network"]["publicNetworkAccess"] == "Disabled"
    keys = [file.path.name for file in FILES if re.search(r"\blist(Keys|AccountSas)\(", file.code)]
    assert keys == ["upload-subscription.bicep"], "only Event Grid's webhook needs a key: the host's own"


def test_content_safety_takes_no_key() -> None:
    assert only("dev", "Microsoft.CognitiveServices/accounts")["properties"]["disableLocalAuth"] is True


def test_production_is_reached_through_private_endpoints_only() -> None:
    storage = only("prod", "Microsoft.Storage/storageAccounts")["properties"]
    assert (storage["publicNetworkAccess"], storage["networkAcls"]["defaultAction"]) == ("Disabled", "Deny")
    assert only("prod", "Microsoft.KeyVault/vaults")["properties"]["publicNetworkAccess"] == "disabled"
    assert (
        only("prod", "Microsoft.ContainerRegistry/registries")["properties"]["publicNetworkAccess"]
        == "Disabled"
    )
    endpoints = [each for each in DEPLOYED["prod"] if each["type"] == "Microsoft.Network/privateEndpoints"]
    groups = {
        group
        for each in endpoints
        for link in each["properties"]["privateLinkServiceConnections"]
        for group in link["properties"]["groupIds"]
    }
    assert groups == {"blob", "queue", "table", "vault", "registry"}


def outputs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INFRA / f"snapshots/{name}.snapshot.json").read_text())["outputs"]
    return found


def test_the_images_of_a_private_registry_are_built_by_agents_inside_the_network() -> None:
    """Others come from public addresses, which such a registry refuses."""
    assert (outputs("dev")["IMAGE_BUILDS"], outputs("prod")["IMAGE_BUILDS"]) == ("registry", "pool")
    pool = only("prod", "Microsoft.ContainerRegistry/registries/agentPools")
    assert pool["properties"]["count"] == 0, "an agent costs money while nothing is built"
    assert ".outputs.buildSubnetId.value" in pool["properties"]["virtualNetworkSubnetResourceId"]
    network = only("prod", "Microsoft.Network/virtualNetworks")["properties"]
    subnet = next(each["properties"] for each in network["subnets"] if each["name"] == "builds")
    gateway = only("prod", "Microsoft.Network/natGateways")
    assert subnet["natGateway"]["id"] == gateway["id"], "the base images and packages come from outside"
    used = [(ip_network(each["properties"]["addressPrefix"]), each["name"]) for each in network["subnets"]]
    assert [(a, b) for (x, a), (y, b) in combinations(used, 2) if x.overlaps(y)] == []
    assert not [each for each in DEPLOYED["dev"] if each["type"].startswith("Microsoft.Network/nat")]


def app_settings(name: str) -> str:
    (found,) = [each for each in DEPLOYED[name] if str(each.get("name", "")).endswith("/appsettings")]
    return json.dumps(found["properties"])


def test_the_key_of_the_paid_service_is_referred_to_only_where_there_is_one() -> None:
    assert "NANO_BANANA_API_KEY" not in app_settings("dev"), (
        "it never resolves, and the app would wait for it"
    )
    assert "NANO_BANANA_API_KEY" in app_settings("prod")
    assert "NANO_BANANA_PROVIDER" not in app_settings("dev"), "its default is the code's"


def test_pictures_are_signed_only_where_certificates_are_stored() -> None:
    assert '"CONTENT_CREDENTIALS": "mode=off"' in app_settings("dev"), "no key may sign without a certificate"
    format_call = re.search(r"'CONTENT_CREDENTIALS', format\('(.*?)', ", app_settings("prod"))
    assert format_call and f"'{'4' * 32}'" in app_settings("prod"), "one version of the key, not the newest"
    uri, key, version, words = (
        "https://kv.example/",
        "pictures",
        "4" * 32,
        "mode=require timestamp=http://t.example",
    )
    text = format_call[1].format(uri, key, version, uri, key, words)
    read_words = read(Settings, {"CONTENT_CREDENTIALS": text}).provenance.credentials
    assert read_words.key == f"https://kv.example/keys/pictures/{version}"
    assert read_words.certificate == "https://kv.example/secrets/pictures"
    assert (read_words.mode, read_words.timestamp) == ("require", "http://t.example")


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_key_that_signs_pictures_stays_in_the_vault_and_changes_only_with_a_certificate(
    name: str,
) -> None:
    key = only(name, "Microsoft.KeyVault/vaults/keys")["properties"]
    assert (key["kty"], key["curveName"], key["keyOps"]) == ("EC", "P-256", ["sign", "verify"])
    assert key["attributes"]["exportable"] is False
    assert {each["action"]["type"] for each in key["rotationPolicy"]["lifetimeActions"]} == {"notify"}


@pytest.mark.parametrize(("name", "replicas"), [("dev", (0, 1)), ("prod", (1, 8))])
def test_the_gpu_app_scales_by_requests_and_sleeps_in_dev(name: str, replicas: tuple[int, int]) -> None:
    scale = only(name, "Microsoft.App/containerApps")["properties"]["template"]["scale"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == replicas
    assert scale["rules"] == [{"name": "http", "http": {"metadata": {"concurrentRequests": "2"}}}]


def test_the_snapshots_are_those_of_the_present_sources() -> None:
    """Seen without the compiler: only a run of it writes the hashes."""
    present, written = sources(), json.loads(HASHES.read_text())
    changed = {path for path in present | written if present.get(path) != written.get(path)}
    assert changed == set(), "SNAPSHOTS=overwrite make lint-infra, where Microsoft's bicep is on the PATH"
    assert {"main.bicep", "roles.json", "app-settings.json", "snapshots/prod.bicepparam"} <= present.keys()
    assert all(f"modules/{path.name}" in present for path in (INFRA / "modules").glob("*.bicep"))


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_snapshot_is_that_of_the_environment_that_azd_deploys(name: str) -> None:
    """Each parameter as ``NAME.env`` sets it; what a file does not name is at the template's default."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    variable = {key: re.match(r"\$\{(\w+)", str(value["value"])) for key, value in parameters.items()}
    lines = (INFRA / f"environments/{name}.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    text = (INFRA / f"snapshots/{name}.bicepparam").read_text()
    given = {key: value.strip("'") for key, value in re.findall(r"^param (\w+) = (.*)$", text, re.MULTILINE)}
    defaults = re.findall(r"^param (\w+) \w+ = (.*)$", (INFRA / "main.bicep").read_text(), re.MULTILINE)
    known = {key: value.strip("'") for key, value in defaults} | given
    for key, found in variable.items():
        if found and found[1] in values:
            assert known[key] == values[found[1]], key


def test_secrets_are_no_plain_parameters_and_no_outputs() -> None:
    for file in FILES:
        for name in re.findall(
            r"^param (\w*(?:Key|Secret|Password|ConnectionString))\b", file.text, re.MULTILINE
        ):
            if name == "schedulerConnectionString":
                continue  # an address and 'ManagedIdentity', no secret
            before = file.text[: file.text.index(f"param {name} ")]
            assert "@secure()" in before.rsplit("\nparam ", 1)[-1], f"{file.path.name}: {name}"
    assert not {name for name in MAIN.outputs if "KEY" in name and name != "KEY_VAULT_NAME"}
