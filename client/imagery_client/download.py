"""The pictures of jobs as files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from imagery_client.api import Api, Json
from imagery_client.errors import CliError, Exit
from imagery_client.photos import SUFFIXES

FILES = {
    "guardrail": "0-guardrail.png",
    "rembg": "1-rembg.png",
    "realesrgan": "2-realesrgan.png",
    "nano_banana": "3-nano-banana.png",
}
SOURCE = "source"
RESULTS = ("rembg", "realesrgan", "nano_banana")


async def download(
    api: Api, job: Json, folder: Path, stages: list[str], gate: asyncio.Semaphore
) -> list[Path]:
    """Pictures of ``stages`` into ``folder``/<job id>/. Raises ``CliError``."""
    target = folder / job["job_id"]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError("Not writable", f"{target}: {error.strerror}", exit_code=Exit.FAILED) from None

    async def fetch(stage: str) -> Path:
        file: Path = target / (_source_name(job) if stage == SOURCE else FILES[stage])
        async with gate:
            try:
                await api.picture(job["job_id"], stage, file)
            except OSError as error:
                raise CliError("Not writable", f"{file}: {error.strerror}", exit_code=Exit.FAILED) from None
        return file

    return list(await asyncio.gather(*map(fetch, stages)))


def finished_stages(job: Json) -> list[str]:
    """Of the results those that are there."""
    done = {each["stage"] for each in job["stages"] if each["output"]}
    return [stage for stage in RESULTS if stage in done]


def _source_name(job: Json) -> str:
    suffix = Path(job["source"]).suffix.lower()
    return f"{SOURCE}{suffix if suffix in SUFFIXES else ''}"
