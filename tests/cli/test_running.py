"""``imagery`` against the running stack."""

from __future__ import annotations

import json
import os
import pty
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from testbed.pictures import encoded
from testbed.stack import PHOTO, Stack
from tests.cli.conftest import Cli

_LIMIT_S = 60.0


def photo_file(folder: Path, name: str = "photo.jpg", *, size: tuple[int, int] = (160, 120)) -> Path:
    """A small photo whose pixels nobody has sent before."""
    file = folder / name
    file.write_bytes(encoded("PNG", size=size))
    with Image.open(file) as image:
        image.putpixel((0, 0), tuple(os.urandom(3)))
        image.convert("RGB").save(file, "JPEG", quality=92)
    return file


def objects(text: str) -> list[dict[str, Any]]:
    """Each line as JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_photo_is_submitted_watched_and_downloaded(cli: Cli) -> None:
    done = cli.run("submit", PHOTO, "--prompt", "on a slate table", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    job_id = next((cli.folder / "results").iterdir()).name
    for stage in ("guardrail", "rembg", "realesrgan", "nano_banana"):
        assert any(line.startswith(f"{job_id[:12]}  {stage}  SUCCEEDED") for line in done.stdout.splitlines())
    assert f"{job_id}  COMPLETED  $0.08" in done.stdout
    files = sorted((cli.folder / "results" / job_id).iterdir())
    assert [file.name for file in files] == ["1-rembg.png", "2-realesrgan.png", "3-nano-banana.png"]
    for file in files:
        with Image.open(file) as image:
            image.load()
            assert image.format == "PNG"


def test_the_same_command_again_finds_the_job_and_pays_nothing(cli: Cli, stack: Stack) -> None:
    photo = photo_file(cli.folder)
    (first,) = objects(cli.run("submit", photo, "--no-watch", "--json").stdout)
    assert first["is_new"]
    stack.wait_for_end(first["job_id"])
    (copy := cli.folder / "copy.jpg").write_bytes(photo.read_bytes())
    (again,) = objects(cli.run("submit", copy, "--no-watch", "--json").stdout)
    assert (again["job_id"], again["is_new"], again["state"]) == (first["job_id"], False, "COMPLETED")
    told = cli.run("submit", photo)
    assert told.returncode == 0
    assert "nothing is paid twice" in told.stdout
    assert stack.bill(first["job_id"])["billed"] == 1
    (other,) = objects(cli.run("submit", photo, "--no-watch", "--json", "--image-size", "2K").stdout)
    assert other["job_id"] != first["job_id"]
    stack.client.post(f"/api/v1/jobs/{other['job_id']}/cancel")


def test_fresh_makes_another_job_and_prints_the_key_that_repeats_it(cli: Cli) -> None:
    photo = photo_file(cli.folder)
    (first,) = objects(cli.run("submit", photo, "--no-watch", "--json").stdout)
    fresh = cli.run("submit", photo, "--no-watch", "--json", "--fresh")
    (second,) = objects(fresh.stdout)
    assert second["job_id"] != first["job_id"]
    assert f"--idempotency-key {second['idempotency_key']}" in " ".join(fresh.stderr.split())
    key = second["idempotency_key"]
    repeated = cli.run("submit", photo, "--no-watch", "--json", "--fresh", "--idempotency-key", key)
    assert objects(repeated.stdout)[0]["job_id"] == second["job_id"]
    assert cli.run("cancel", first["job_id"], second["job_id"]).returncode == 0


def test_folders_and_patterns_are_sent_and_a_refused_photo_does_not_stop_the_others(
    cli: Cli, stack: Stack
) -> None:
    # no job ends before it is cancelled
    circuit = "/api/v1/circuit-breakers/nano_banana"
    stack.client.post(circuit, json={"state": "open"}).raise_for_status()
    folder = cli.folder / "photos"
    folder.mkdir()
    photo_file(folder, "a.jpg")
    photo_file(folder, "b.jpg")
    (folder / "broken.png").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("not sent")
    done = cli.run("submit", folder, str(folder / "*.jpg"), "--no-watch", "--json")
    sent = {Path(each["photo"]).name: each for each in objects(done.stdout)}
    assert done.returncode == 1
    assert set(sent) == {"a.jpg", "b.jpg", "broken.png"}
    assert sent["broken.png"]["error"]["code"] == "unsupported_image_type"
    assert sent["broken.png"]["job_id"] is None
    jobs = [sent[name]["job_id"] for name in ("a.jpg", "b.jpg")]
    assert cli.run("cancel", *jobs).returncode == 0
    stack.client.post(circuit, json={"state": "closed"}).raise_for_status()
    watched = cli.run("watch", *jobs, "--json")
    assert watched.returncode == 1
    assert {each["job_id"] for each in objects(watched.stdout)} == set(jobs)


def test_a_refused_photo_is_shown_with_its_limit(cli: Cli) -> None:
    tiny = photo_file(cli.folder, size=(16, 12))
    done = cli.run("submit", tiny)
    assert done.returncode == 1
    assert "image_too_small" in done.stdout
    assert "limit" in done.stdout


def test_a_wrong_key_an_unknown_job_and_a_wrong_command_are_errors_of_use(cli: Cli) -> None:
    refused = cli.run("jobs", IMAGERY_API_KEY="igp_wrong")
    assert refused.returncode == 2
    assert "invalid_api_key" in refused.stderr
    assert "make users" in refused.stderr
    photo = photo_file(cli.folder)
    assert cli.run("submit", photo, IMAGERY_API_KEY="igp_wrong").returncode == 2
    unknown = cli.run("watch", "no-such-job")
    assert unknown.returncode == 2
    assert "job_not_found" in unknown.stderr
    assert cli.run("watch", "../../healthz").returncode == 2
    assert cli.run("submit", cli.folder / "missing.jpg").returncode == 2
    assert cli.run("paint").returncode == 2
    assert cli.run("submit", photo, "--limit", "0").returncode == 2


def test_jobs_are_listed_for_people_and_for_scripts(cli: Cli, stack: Stack) -> None:
    photo = photo_file(cli.folder)
    (sent,) = objects(cli.run("submit", photo, "--no-watch", "--json").stdout)
    stack.wait_for_end(sent["job_id"])
    rows = objects(cli.run("jobs", "--json", "--limit", "3", "--state", "COMPLETED").stdout)
    assert rows[0]["job_id"] == sent["job_id"]
    assert {row["state"] for row in rows} == {"COMPLETED"}
    assert len(rows) <= 3
    heading, first, *_ = cli.run("jobs", "--limit", "1").stdout.splitlines()
    assert heading.split()[:3] == ["job", "state", "stage"]
    assert first.split()[:2] == [sent["job_id"], "COMPLETED"]
    spend = cli.run("spend")
    assert spend.returncode == 0
    assert "$0.08 a picture" in spend.stdout


def test_a_failed_job_is_shown_with_its_reason_and_can_be_retried(cli: Cli, stack: Stack) -> None:
    stack.faults("safety")
    failed = cli.run("submit", photo_file(cli.folder), "--json")
    assert failed.returncode == 1
    sent, ended = objects(failed.stdout)
    assert ended["state"] == "FAILED"
    told = cli.run("watch", sent["job_id"])
    assert told.returncode == 1
    assert f"FAILED  {ended['error']['code']}" in told.stdout
    assert cli.run("retry", sent["job_id"]).returncode == 0
    assert cli.run("watch", sent["job_id"]).returncode == 0
    refused = cli.run("retry", sent["job_id"])
    assert refused.returncode == 1
    assert "job_not_retryable" in refused.stderr
    loaded = cli.run("download", sent["job_id"], "--stage", "source", "--stage", "guardrail", "--json")
    files = objects(loaded.stdout)[0]["files"]
    assert [Path(file).name for file in files] == ["source.png", "0-guardrail.png"]
    assert all((cli.folder / file).stat().st_size for file in files)


def test_logs_of_a_job_are_whole_and_filtered(cli: Cli, stack: Stack) -> None:
    (sent,) = objects(cli.run("submit", photo_file(cli.folder), "--no-watch", "--json").stdout)
    stack.wait_for_end(sent["job_id"])
    events = objects(cli.run("logs", "--job", sent["job_id"], "--json").stdout)
    assert [events[0]["event"], events[-1]["event"]] == ["job_queued", "job_completed"]
    paid = objects(cli.run("logs", "--job", sent["job_id"], "--stage", "nano_banana", "--json").stdout)
    assert [each["event"] for each in paid] == [
        each["event"] for each in events if each["stage"] == "nano_banana"
    ]
    limited = cli.run("logs", "--job", sent["job_id"], "--limit", "2")
    assert len(limited.stdout.splitlines()) == 2
    assert "--after" in limited.stderr


class Lines:
    """What a process writes, line by line as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._queue: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=[process.stdout], daemon=True).start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._queue.put(line)

    def until(self, event: str, job_id: str) -> list[dict[str, Any]]:
        """The events up to this one."""
        found = []
        while True:
            try:
                found.append(json.loads(self._queue.get(timeout=_LIMIT_S)))
            except queue.Empty:
                raise AssertionError(f"{event} of {job_id} did not come; {len(found)} others did") from None
            if (found[-1]["event"], found[-1]["job_id"]) == (event, job_id):
                return found


def test_followed_logs_go_on_over_a_host_that_dies_without_a_doubled_or_lost_line(
    cli: Cli, stack: Stack
) -> None:
    (first,) = objects(cli.run("submit", photo_file(cli.folder), "--no-watch", "--json").stdout)
    following = cli.start("logs", "--follow", "--json")
    lines = Lines(following)
    try:
        events = lines.until("job_completed", first["job_id"])
        stack.host.stop(signal.SIGKILL)
        time.sleep(2)
        stack.host.start()
        stack.host.wait_ready()
        (second,) = objects(
            cli.run("submit", photo_file(cli.folder, "next.jpg"), "--no-watch", "--json").stdout
        )
        events += lines.until("job_completed", second["job_id"])
    finally:
        following.send_signal(signal.SIGINT)
        following.wait(30)
    assert following.stderr is not None
    stderr = following.stderr.read()
    assert following.returncode == 130
    assert "trying again" in stderr
    assert "Traceback" not in stderr
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))
    stored = objects(cli.run("logs", "--json", "--limit", "10000").stdout)
    assert ids == [event["id"] for event in stored if ids[0] <= event["id"] <= ids[-1]]


def test_ctrl_c_while_watching_ends_with_130_and_the_job_goes_on(cli: Cli, stack: Stack) -> None:
    watching = cli.start("submit", photo_file(cli.folder), "--json")
    assert watching.stdout is not None
    job_id = json.loads(watching.stdout.readline())["job_id"]
    watching.send_signal(signal.SIGINT)
    _, stderr = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert f"watch {job_id}" in " ".join(stderr.split())
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"


def test_a_terminal_shows_a_line_for_each_stage(cli: Cli) -> None:
    photo = photo_file(cli.folder)
    controller, terminal = pty.openpty()
    watching = subprocess.Popen(
        cli.command("submit", photo),
        cwd=cli.folder,
        env=cli.environment(TERM="xterm"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 65536):
            shown += chunk
    except OSError:
        # how Linux reports the end of a terminal
        pass
    os.close(controller)
    assert watching.wait(30) == 0
    text = shown.decode()
    last = text[text.rindex("COMPLETED") :]
    for stage in ("guardrail", "rembg", "realesrgan", "nano_banana"):
        assert stage in last
    assert "━" in last


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["jobs"], ["spend"], ["logs"], ["watch", "a-job"], ["cancel", "a-job"]]
)
def test_an_api_that_can_not_be_reached_ends_with_code_3(lonely: Cli, arguments: list[str]) -> None:
    done = lonely.run(*arguments, "--url", "http://127.0.0.1:9", "--key", "igp_any")
    assert done.returncode == 3
    assert "make run" in done.stderr
    told = json.loads(lonely.run(*arguments, "--url", "http://127.0.0.1:9", "--json").stderr)
    assert told["error"]["exit_code"] == 3
