"""Where the command line calls, and who as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagery.cli.settings import DEFAULT_URL, CliSettings, Target, choose_target

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMAGERY_URL", "IMAGERY_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def running_stack(folder: Path) -> CliSettings:
    state = {"urls": {"host": "http://127.0.0.1:7099"}, "api_key": "igp_of_the_stack"}
    (folder / "state.json").write_text(json.dumps(state))
    return CliSettings(run_dir=folder)


def test_the_stack_that_runs_here_is_the_default(tmp_path: Path) -> None:
    target = choose_target(running_stack(tmp_path), None, None)
    assert target == Target("http://127.0.0.1:7099", "igp_of_the_stack")


def test_without_a_stack_the_usual_address_and_the_kept_key_are_taken(tmp_path: Path) -> None:
    (tmp_path / "api.key").write_text("igp_kept\n")
    assert choose_target(CliSettings(run_dir=tmp_path), None, None) == Target(DEFAULT_URL, "igp_kept")
    assert choose_target(CliSettings(run_dir=tmp_path / "none"), None, None) == Target(DEFAULT_URL, None)


def test_the_stacks_key_goes_to_no_other_address(tmp_path: Path) -> None:
    settings = running_stack(tmp_path)
    (tmp_path / "api.key").write_text("igp_kept\n")
    assert choose_target(settings, "https://elsewhere.example", None).key is None
    assert choose_target(settings, "https://elsewhere.example", "igp_given").key == "igp_given"


def test_options_win_over_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGERY_URL", "https://cloud.example/")
    monkeypatch.setenv("IMAGERY_API_KEY", "igp_variable")
    settings = running_stack(tmp_path)
    assert choose_target(settings, None, None) == Target("https://cloud.example", "igp_variable")
    assert choose_target(settings, "http://other", "igp_option") == Target("http://other", "igp_option")
