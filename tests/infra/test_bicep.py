"""The Bicep files fit together: what a compiler would say, as far as a parser can tell."""

from __future__ import annotations

import json
import re

import pytest

from testbed.stack import ROOT
from tests.infra.bicep import BUILT_IN, INFRA, Bicep, all_files, module

MAIN = Bicep(INFRA / "main.bicep")
FILES = all_files()
# set by azd itself, or by a hook
GIVEN_BY_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "GPU_APP_ID", "BUDGET_START"}


def file_id(file: Bicep) -> str:
    return file.path.stem


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_every_file_parses(file: Bicep) -> None:
    assert set(file.tree) >= {"resources", "modules"} or file.tree


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_every_module_gets_what_it_asks_for_and_nothing_else(file: Bicep) -> None:
    called = len(re.findall(r"^module ", file.code, re.MULTILINE))
    assert len(file.modules) == called
    for name, (path, given) in file.modules.items():
        assert path.is_file(), f"{name}: {path.name} does not exist"
        asked = Bicep(path).parameters
        assert given <= asked.keys(), f"{name} gives {given - asked.keys()}"
        missing = {each for each, required in asked.items() if required} - given
        assert not missing, f"{name} lacks {missing}"


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_outputs_that_are_read_exist(file: Bicep) -> None:
    for name, output in re.findall(r"(\w+)!?\.outputs\.(\w+)", file.code):
        path, _ = file.modules[name]
        assert output in Bicep(path).outputs, f"{path.name} has no output {output}"


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_every_name_that_is_used_is_declared_and_the_other_way_round(file: Bicep) -> None:
    loops = {name for found in re.findall(r"for \(?(\w+)(?:, (\w+)\))? in", file.code) for name in found}
    decorators = set(re.findall(r"@(\w+)", file.code))
    unknown = file.used - file.symbols.keys() - loops - BUILT_IN - decorators - file.outputs
    assert not unknown, f"nobody declares {unknown}"
    for name, kind in file.symbols.items():
        if kind in {"param", "var"}:
            uses = len(re.findall(rf"(?<![\w.]){name}\b(?!:)", file.expressions))
            assert uses > 1, f"{kind} {name} is never used"


@pytest.mark.parametrize("file", FILES, ids=file_id)
def test_names_are_known_before_anything_is_deployed(file: Bicep) -> None:
    for block in re.findall(r"^resource .*?(?=^\S|\Z)", file.code, re.MULTILINE | re.DOTALL):
        name = re.search(r"^  name: (.*)$", block, re.MULTILINE)
        assert name, block.splitlines()[0]
        assert not re.search(r"\.(properties|outputs|identity)\.", name[1]), name[0]


def test_the_parameters_file_gives_known_parameters_and_all_required_ones() -> None:
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() <= MAIN.parameters.keys()
    assert {name for name, required in MAIN.parameters.items() if required} <= given.keys()


def test_every_variable_of_the_parameters_file_has_a_value() -> None:
    text = (INFRA / "main.parameters.json").read_text()
    variables = dict(re.findall(r"\$\{(\w+)(=[^}]*)?\}", text))
    assert {name for name, default in variables.items() if not default} == GIVEN_BY_AZD
    for path in INFRA.glob("environments/*.env"):
        names = set(re.findall(r"^(\w+)=", path.read_text(), re.MULTILINE)) - {"CUDA_IMAGE"}
        assert names <= variables.keys(), path.name
    hooks = "".join(path.read_text() for path in INFRA.glob("hooks/*.sh"))
    assert {"GPU_APP_ID", "BUDGET_START"} <= set(re.findall(r"azd env set (\w+)", hooks))


def test_the_hooks_read_only_what_is_given_to_them() -> None:
    given = MAIN.outputs | GIVEN_BY_AZD | {"FUNCTIONS_IMAGE"}
    for path in INFRA.glob("hooks/*.sh"):
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
    assert services == tagged == {"functions", "gpu"}


ROLES = json.loads((INFRA / "roles.json").read_text())


def test_each_identity_has_the_roles_it_needs_and_no_other() -> None:
    """No management role anywhere, and data roles on the smallest scope that works."""
    granted = {}
    for file in FILES:
        blocks = re.findall(
            r"^resource (\w+) 'Microsoft.Authorization/roleAssignments@.*?(?=^\S|\Z)", file.code, re.M | re.S
        )
        for name in blocks:
            block = file.block("resource", name)
            scope = re.search(r"^  scope: (\w+)", block, re.MULTILINE)
            assert scope, f"{name} would hold for the whole resource group"
            roles = set(re.findall(r"roles\.(\w+)", block)) or {"hostRoles"}
            granted[f"{file.path.stem}.{name}"] = (scope[1], roles)
    assert granted == {
        "content-safety.functionsAccess": ("account", {"cognitiveServicesUser"}),
        "durable-task-scheduler.functionsAccess": ("taskHub", {"durableTaskDataContributor"}),
        "key-vault.functionsAccess": ("vault", {"keyVaultSecretsUser"}),
        "monitoring.publishers": ("applicationInsights", {"monitoringMetricsPublisher"}),
        "registry.pulls": ("registry", {"acrPull"}),
        "storage.functionsAccess": ("account", {"hostRoles"}),
        "storage.gpuAccess": ("jobs", {"storageBlobDataContributor"}),
        "upload-events.deadLetterAccess": ("deadLetters", {"storageBlobDataContributor"}),
    }
    used = {role for file in FILES for role in re.findall(r"(?<!/)\broles\.(\w+)", file.code)}
    assert used == ROLES.keys()


def test_nothing_is_reached_with_a_shared_secret() -> None:
    assert "allowSharedKeyAccess: false" in module("storage").text
    assert "adminUserEnabled: false" in module("registry").text
    assert "passwordAuth: 'Disabled'" in module("database").text
    assert "disableLocalAuth: true" in module("content-safety").text
    keys = [file.path.name for file in FILES if re.search(r"\blist(Keys|AccountSas)\(", file.code)]
    assert keys == ["upload-subscription.bicep"], "only Event Grid's webhook needs a key: the host's own"


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
