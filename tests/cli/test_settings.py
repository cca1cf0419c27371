"""Where the command line calls, and with which key."""

from __future__ import annotations

import json
import re
from pathlib import Path

from imagery_client.settings import DEFAULT_URL, ApiTarget, ClientSettings, choose_target, variable_name

ROOT = Path(__file__).parent.parent.parent


def running_stack(folder: Path, **more: str) -> ClientSettings:
    state = {"urls": {"host": "http://127.0.0.1:7099"}, "api_key": "igp_of_the_stack"}
    (folder / "state.json").write_text(json.dumps(state))
    return ClientSettings.from_environment({"IMAGERY_RUN_DIR": str(folder), **more})


def test_the_stack_that_runs_here_is_the_default(tmp_path: Path) -> None:
    target = choose_target(running_stack(tmp_path), None, None)
    assert target == ApiTarget("http://127.0.0.1:7099", "igp_of_the_stack")


def test_without_a_stack_the_usual_address_and_the_kept_key_are_taken(tmp_path: Path) -> None:
    (tmp_path / "api.key").write_text("igp_kept\n")
    assert choose_target(ClientSettings(run_dir=tmp_path), None, None) == ApiTarget(DEFAULT_URL, "igp_kept")
    assert choose_target(ClientSettings(run_dir=tmp_path / "none"), None, None) == ApiTarget(
        DEFAULT_URL, None
    )


def test_the_stacks_key_goes_to_no_other_address(tmp_path: Path) -> None:
    settings = running_stack(tmp_path)
    (tmp_path / "api.key").write_text("igp_kept\n")
    assert choose_target(settings, "https://elsewhere.example", None).key is None
    assert choose_target(settings, "https://elsewhere.example", "igp_given").key == "igp_given"


def test_options_win_over_variables(tmp_path: Path) -> None:
    variables = {"IMAGERY_URL": "https://cloud.example/", "IMAGERY_API_KEY": "igp_variable"}
    settings = running_stack(tmp_path, **variables)
    assert choose_target(settings, None, None) == ApiTarget("https://cloud.example", "igp_variable")
    assert choose_target(settings, "http://other", "igp_option") == ApiTarget("http://other", "igp_option")


def test_variables_are_read_and_an_empty_one_counts_as_not_set() -> None:
    settings = ClientSettings.from_environment({"IMAGERY_URL": "", "IMAGERY_RUN_DIR": "elsewhere"})
    assert (settings.url, settings.run_dir) == (None, Path("elsewhere"))


def test_the_readme_explains_every_variable_and_no_other() -> None:
    readme = (ROOT / "client" / "README.md").read_text()
    rows = re.findall(r"^\| `(IMAGERY_\w+)` \|", readme, re.MULTILINE)
    assert rows == [variable_name(name) for name in ClientSettings.model_fields]
