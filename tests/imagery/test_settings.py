"""Settings are read from variables, several words a variable where they belong together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from gpu_container.settings import GpuSettings
from imagery.environment import SettingsError, read, variables
from imagery.old_settings import GONE, NOW, complaint, renamed
from imagery.settings import CacheScope, GpuRetryWords, Settings, layered
from testbed.stack import ROOT

KNOWN = {each.name: each for group in (Settings, GpuSettings) for each in variables(group)}


def test_without_variables_everything_has_its_default() -> None:
    assert read(Settings, {}) == Settings()
    assert read(Settings, {"GPU_RETRY": "", "STAGE_CACHE": " "}) == Settings()


def test_a_word_that_is_not_given_keeps_its_default() -> None:
    given = read(Settings, {"GPU_RETRY": "attempts=3  cap_s=10"}).gpu.retry
    assert given == GpuRetryWords(attempts=3, cap_s=10)


def test_of_a_word_that_is_given_twice_the_last_one_counts() -> None:
    assert read(Settings, {"CIRCUIT": "failures=2 open_s=1 failures=9"}).jobs.circuit.failures == 9


def test_names_do_not_depend_on_case_but_values_do_as_they_are() -> None:
    settings = read(Settings, {"stage_cache": "shared", "AZUREWEBJOBSSTORAGE": "AccountKey=a==;x"})
    assert settings.jobs.stage_cache is CacheScope.SHARED
    assert settings.storage.connection_string is not None
    assert settings.storage.connection_string.get_secret_value() == "AccountKey=a==;x"


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("GPU_RETRY", "atempts=3", "GPU_RETRY has no word 'atempts': it takes attempts, cap_s, "),
        ("GPU_RETRY", "5", "GPU_RETRY: write word=value instead of '5'"),
        ("GPU_RETRY", "attempts=many", "GPU_RETRY: attempts: Input should be a valid integer"),
        ("CIRCUIT", "failures=0", "CIRCUIT: failures: Input should be greater than or equal to 1"),
        ("PICTURE_LIMITS", "formats=PNG,GIF", "PICTURE_LIMITS: formats: Input should be 'PNG', "),
        ("MAX_UPLOAD_BYTES", "-1", "MAX_UPLOAD_BYTES: Input should be greater than 0"),
        ("ENV", "TEST", "ENV: Input should be 'DEV' or 'PROD'"),
    ],
)
def test_a_wrong_value_is_named_with_the_way_out(variable: str, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        read(Settings, {variable: text})


def test_every_wrong_variable_is_named_at_once_and_no_value_is_shown() -> None:
    wrong = {"ENV": "secret-one", "MAX_UPLOAD_BYTES": "secret-two", "QUOTA": "usd_per_day=secret-three"}
    with pytest.raises(SettingsError) as told:
        read(Settings, wrong)
    assert all(f"{name}: " in str(told.value) for name in wrong)
    assert "secret" not in str(told.value)


def test_environments_are_laid_over_each_other_word_by_word() -> None:
    merged = layered(
        {"GPU_RETRY": "attempts=4 first_s=0.2", "AzureWebJobsStorage": "AccountKey=a", "ENV": "DEV"},
        {"GPU_RETRY": "attempts=1000", "AzureWebJobsStorage": "AccountKey=b"},
    )
    assert read(Settings, merged).gpu.retry == GpuRetryWords(attempts=1000, first_s=0.2)
    assert (merged["AzureWebJobsStorage"], merged["ENV"]) == ("AccountKey=b", "DEV")


def test_every_setting_says_what_it_is_for() -> None:
    for each in KNOWN.values():
        assert each.field.description and each.field.description.endswith("."), each.name
        for word, field in each.words.model_fields.items() if each.words else ():
            assert field.description, f"{each.name} {word}"


def test_every_old_name_leads_to_a_setting_that_exists() -> None:
    for old, (variable, word) in NOW.items():
        words = KNOWN[variable].words
        assert word is None or (words is not None and word in words.model_fields), old
    assert not (NOW.keys() | GONE) & KNOWN.keys()


def test_an_old_name_still_works_and_a_new_one_wins_over_it() -> None:
    old = {"GPU_RETRY_ATTEMPTS": "7", "GPU_RETRY_CAP_S": "9", "ALLOWED_FORMATS": "png, webp"}
    settings = read(Settings, renamed(old))
    assert settings.gpu.retry == GpuRetryWords(attempts=7, cap_s=9)
    assert settings.guardrail.picture.formats == ("PNG", "WEBP")
    assert read(Settings, renamed({**old, "GPU_RETRY": "attempts=8"})).gpu.retry.attempts == 8
    gate = {"GPU_AUTH_ISSUER": "i", "GPU_AUTH_JWKS_URL": "https://k/keys?a=b", "GPU_AUTH_AUDIENCE": "a"}
    auth = read(GpuSettings, renamed({**gate, "MODEL_CACHE": "/models"}))
    assert (auth.auth.issuer, auth.auth.jwks_url, auth.auth.audience) == ("i", "https://k/keys?a=b", "a")
    assert str(auth.model_cache) == "/models"


def test_old_names_are_complained_about_in_one_sentence_each() -> None:
    assert complaint({"GPU_RETRY": "attempts=3", "GPU_RETRY_CAP_S": ""}) is None
    told = complaint({"GPU_RETRY_CAP_S": "9", "MODEL_CACHE": "/m", "LOGS_PAGE": "5"})
    assert told is not None
    assert told.startswith(
        'GPU_RETRY_CAP_S is now GPU_RETRY="cap_s=..."; MODEL_CACHE is now GPU_MODEL_CACHE; '
        "LOGS_PAGE no longer has an effect. "
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", ["function_app", "gpu_container.__main__"])
def test_a_process_with_old_names_logs_one_warning_when_it_starts(start: str) -> None:
    """The GPU service is stopped by its own ``--help``, after the warning."""
    code = f"import sys, runpy; sys.argv = ['x', '--help']; runpy.run_module('{start}', run_name='__main__')"
    environment = {**os.environ, "GPU_RETRY_CAP_S": "9", "LOGS_PAGE": "5"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "old_settings"]
    assert line["level"] == "warning"
    assert 'GPU_RETRY_CAP_S is now GPU_RETRY="cap_s=..."' in line["detail"]
    assert "LOGS_PAGE no longer has an effect" in line["detail"]


def test_a_reference_that_key_vault_did_not_resolve_is_no_key() -> None:
    text = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/nano-banana-api-key)"
    settings = read(Settings, {"NANO_BANANA_API_KEY": text, "WEBHOOK_SIGNING_KEY": text})
    assert settings.nano_banana.api_key is None and settings.callbacks.signing_key is None
