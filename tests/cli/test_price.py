"""What ``imagery submit`` says of money before it sends, and what it does not send."""

from __future__ import annotations

import json

import pytest

from testbed.stack import Stack
from tests.cli.conftest import Cli
from tests.cli.test_running import objects, photo_file


def jobs(stack: Stack) -> int:
    return len(stack.client.get("/api/v1/jobs?limit=200").json()["jobs"])


def test_a_dry_run_says_what_photos_may_cost_and_sends_nothing(cli: Cli, stack: Stack) -> None:
    before = jobs(stack)
    photos = [photo_file(cli.folder, f"{number}.jpg") for number in range(3)]
    told = cli.run("submit", *photos, "--dry-run")
    assert told.returncode == 0
    assert told.stdout.startswith("3 photos, up to $0.24; $")
    assert "left today" in told.stdout
    (quote,) = objects(cli.run("submit", *photos, "--dry-run", "--json").stdout)
    assert (quote["count"], quote["price_usd"], quote["total_usd"]) == (3, 0.08, 0.24)
    assert jobs(stack) == before


def test_above_the_limit_nothing_is_sent(cli: Cli, stack: Stack) -> None:
    before = jobs(stack)
    photos = [photo_file(cli.folder, f"{number}.jpg") for number in range(2)]
    refused = cli.run("submit", *photos, "--max-usd", "0.15")
    assert refused.returncode == 1
    assert "2 photos may cost $0.16, more than $0.15" in refused.stderr
    assert "Raise --max-usd" in refused.stderr
    told = json.loads(cli.run("submit", *photos, "--max-usd", "0.15", "--json").stderr.splitlines()[-1])
    assert told["error"]["code"] == "price_above_max"
    assert jobs(stack) == before


def test_within_the_limit_each_job_has_its_share_and_the_same_photo_is_the_same_job(
    cli: Cli, stack: Stack
) -> None:
    photo = photo_file(cli.folder)
    sent = cli.run("submit", photo, "--no-watch", "--json", "--max-usd", "$0.10")
    (first,) = objects(sent.stdout)
    assert "1 photo, up to $0.08; $" in sent.stderr
    (again,) = objects(cli.run("submit", photo, "--no-watch", "--json").stdout)
    assert (again["job_id"], again["is_new"]) == (first["job_id"], False)
    assert stack.wait_for_end(first["job_id"])["state"] == "COMPLETED"
    shown = stack.client.get(f"/api/v1/status/{first['job_id']}").json()
    assert (shown["cost_usd"], shown["estimated_usd"]) == (0.08, None)


@pytest.mark.parametrize("wrong", ["-1", "much", "nan", "1e9"])
def test_a_limit_that_is_no_price_is_an_error_of_use(cli: Cli, wrong: str) -> None:
    assert cli.run("submit", "x.jpg", f"--max-usd={wrong}").returncode == 2


def test_spend_is_shown_by_model(cli: Cli) -> None:
    photo = photo_file(cli.folder)
    assert cli.run("submit", photo).returncode == 0
    told = cli.run("spend").stdout
    assert any(line.split()[:2] == ["model", "size"] for line in told.splitlines())
    assert any(line.split()[:2] == ["gemini-nano-banana-2.1", "1K"] for line in told.splitlines())
