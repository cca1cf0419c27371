"""What a picture of a job is called where it is downloaded: as the photo was, and what it is."""

from __future__ import annotations

from imagery.contracts import UPLOADS, Stage
from imagery.database.tables import ImageJob
from imagery.file_names import file_name, stem_of

_WORDS = {
    Stage.GUARDRAIL: "clean",
    Stage.REMBG: "cutout",
    Stage.REALESRGAN: "4x",
    Stage.NANO_BANANA: "placed",
}
_IMAGE = "image/"


def photo_name(job: ImageJob) -> str | None:
    """The name that the photo came with. Returns None if it came without one."""
    if job.file_name is not None:
        return job.file_name
    # rows of earlier versions
    return file_name(job.source_name) if job.source_container == UPLOADS else None


def picture_name(job: ImageJob, stage: Stage | None, content_type: str) -> str:
    """``coffee-placed.png``; the upload itself (``stage`` None) as it was called."""
    name = photo_name(job)
    if name is not None and stage is None and job.source_container == UPLOADS:
        return name
    stem = stem_of(name) if name is not None else job.job_id
    kind = content_type.removeprefix(_IMAGE) if content_type.startswith(_IMAGE) else ""
    return f"{stem}{f'-{_WORDS[stage]}' if stage else ''}{f'.{kind}' if kind else ''}"
