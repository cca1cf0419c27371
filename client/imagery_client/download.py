"""The pictures of jobs as files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from imagery_client.api import ApiClient
from imagery_client.errors import ClientError, ExitCode
from imagery_client.model import JobStatus, Stage
from imagery_client.photos import SUFFIXES

FILES = {
    Stage.GUARDRAIL: "0-guardrail.png",
    Stage.REMBG: "1-rembg.png",
    Stage.REALESRGAN: "2-realesrgan.png",
    Stage.NANO_BANANA: "3-nano-banana.png",
}
SOURCE = "source"
_RESULTS = (Stage.REMBG, Stage.REALESRGAN, Stage.NANO_BANANA)


async def download(
    api: ApiClient, job: JobStatus, folder: Path, stages: list[str], gate: asyncio.Semaphore
) -> list[Path]:
    """Write the pictures of ``stages`` into ``folder``/<job id>/. Raises ``ClientError``."""
    target = folder / job.job_id
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(target, error) from None

    async def fetch(stage: str) -> Path:
        file: Path = target / (_source_name(job) if stage == SOURCE else FILES[Stage(stage)])
        async with gate:
            try:
                await api.picture(job.job_id, stage, file)
            except OSError as error:
                raise _not_writable(file, error) from None
        return file

    return list(await asyncio.gather(*map(fetch, stages)))


def finished_stages(job: JobStatus) -> list[str]:
    """The stages whose result exists."""
    done = {each.stage for each in job.stages if each.output}
    return [stage for stage in _RESULTS if stage in done]


def _source_name(job: JobStatus) -> str:
    suffix = Path(job.source).suffix.lower()
    return f"{SOURCE}{suffix if suffix in SUFFIXES else ''}"


def _not_writable(path: Path, error: OSError) -> ClientError:
    return ClientError("Not writable", f"{path}: {error.strerror}", exit_code=ExitCode.FAILED)
