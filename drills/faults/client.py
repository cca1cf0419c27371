"""A client that does not give up: what the host did not answer it asks again."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import httpx

from drills.faults.photos import photo
from drills.faults.records import Records
from drills.faults.scenarios import Entrance, Scenario
from drills.faults.world import Site
from imagery.contracts import JOBS, UPLOADS, BlobRef, JobOptions, JobRequest
from imagery.database.engine import Database
from imagery.database.jobs import Jobs
from imagery.database.tables import ImageJob, utc_now
from imagery.environment import read
from imagery.settings import Settings
from lifecycle.instances import instance_id_of
from lifecycle.starter import pipeline_input
from testbed.clients import local_client

_TIMEOUT_S = 40.0
_DURABLE = "/runtime/webhooks/durabletask"
_ENDED = {"Completed", "Failed", "Terminated", "Canceled"}
_ELSEWHERE = "incoming"


class Client:
    """Submits the one job of a run, and cancels or retries it."""

    def __init__(self, site: Site, scenario: Scenario, port: int, settings: Settings) -> None:
        self._site = site
        self._scenario = scenario
        self._settings = settings
        self._key = uuid.uuid4().hex
        self._photo = photo(scenario.photo)
        self._http = local_client(port, timeout_s=_TIMEOUT_S, headers={"X-API-Key": site.key})
        self.upload = BlobRef(container=UPLOADS, name=f"{self._key}.png")
        self.job_ids: set[str] = set()
        self.told: dict[str, Any] = {}

    def repeats(self, other: Client) -> None:
        """From now on ask for the very same as ``other``, maybe at another host."""
        self._key, self._photo = other._key, other._photo

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(self, records: Records, callback_url: str | None) -> bool:
        """Hand the job in; False when no answer came."""
        if self._scenario.entrance is Entrance.HTTP:
            return self.post()
        if self._scenario.entrance is Entrance.UPLOAD:
            self._site.storage.write(self.upload, self._photo, "image/png")
            return True
        return self._start(self._row(records, callback_url))

    def post(self) -> bool:
        """``POST /process``, each time with the same key and body; False when no answer came."""
        answer = self._post(
            "/api/v1/process",
            files={"file": ("photo.png", self._photo, "image/png")},
            headers={"Idempotency-Key": self._key},
        )
        if answer is None:
            return False
        if answer.status_code not in {200, 202}:
            raise AssertionError(f"submitted again: {answer.status_code} {answer.text}")
        self.job_ids.add(answer.json()["job_id"])
        return True

    def cancel(self, job_id: str) -> bool:
        """True when the answer says that the job has ended."""
        answer = self._post(f"/api/v1/jobs/{job_id}/cancel")
        if answer is not None and answer.status_code == 200:
            self.told = answer.json()
            return True
        return False

    def retry(self, job_id: str) -> httpx.Response | None:
        """Ask for another run; None when no answer came."""
        return self._post(f"/api/v1/jobs/{job_id}/retry")

    def orchestration_ended(self, instance_id: str) -> bool:
        """True when the orchestration has ended, or a restarted host knows nothing of it."""
        try:
            answer = self._http.get(f"{_DURABLE}/instances/{instance_id}")
        except httpx.TransportError:
            return False
        if answer.status_code == 404:
            return True
        return answer.is_success and answer.json().get("runtimeStatus") in _ENDED

    def _post(self, path: str, **more: Any) -> httpx.Response | None:
        try:
            return self._http.post(path, **more)
        except httpx.TransportError:
            return None

    def _row(self, records: Records, callback_url: str | None) -> ImageJob:
        """The job as a submission leaves it: its row and its picture, examined or not."""
        job_id = str(uuid.uuid4())
        container = _ELSEWHERE if self._scenario.examined else JOBS
        source = BlobRef(container=container, name=f"{job_id}/source.png")
        self._site.storage.ensure_containers(container)
        request = JobRequest(
            job_id=job_id,
            source=self._site.storage.write(source, self._photo, "image/png"),
            owner_id=self._site.owner_id,
            options=JobOptions(output=self._scenario.output),
            content_type="image/png",
            callback_url=callback_url,
        )
        for path, faults in self._scenario.gpu.items():
            self._site.gateway.order(job_id, path, faults)
        job, _ = Jobs(Database(records.engine), timedelta(days=1)).create(
            request, instance_id=instance_id_of(job_id, 1), deadline=utc_now() + timedelta(hours=1)
        )
        self.job_ids.add(job_id)
        return job

    def _start(self, job: ImageJob) -> bool:
        message = pipeline_input(job, self._settings).to_json()
        path = f"{_DURABLE}/orchestrators/image_pipeline/{job.instance_id}"
        # the SDK sends JSON text as a JSON string
        return self._post(path, json=json.dumps(message)) is not None


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings that a host with this environment has."""
    return read(Settings, environment)
