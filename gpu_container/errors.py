"""What can go wrong with a stage, each with its stable code and HTTP status."""

from __future__ import annotations

from collections.abc import Mapping


class StageError(Exception):
    """Base. ``retry_after_s`` is set where coming back makes sense; ``headers`` go with the response."""

    headers: Mapping[str, str] = {}

    code = "internal_error"
    status = 500
    retry_after_s: float | None = None


class InvalidImageError(StageError):
    """The source is no picture."""

    code, status = "invalid_image", 422


class ImageTooLargeError(StageError):
    """The source has more pixels or bytes than this service takes."""

    code, status = "image_too_large", 413


class NoSubjectError(StageError):
    """The network sees nothing to cut out."""

    code, status = "no_subject_found", 422


class SourceNotFoundError(StageError):
    """The source blob does not exist."""

    code, status = "source_not_found", 404


class StorageUnavailableError(StageError):
    """Storage does not respond."""

    code, status = "storage_unavailable", 503


class OutOfMemoryError(StageError):
    """Not even the smallest tile fits into the device's memory."""

    code, status = "gpu_out_of_memory", 507


class DeadlineExceededError(StageError):
    """The caller's deadline passed."""

    code, status = "deadline_exceeded", 504


class JobCancelledError(StageError):
    """The job's owner wants it no more."""

    code, status = "cancelled", 409


class DeviceFailedError(StageError):
    """The network or its device failed on this picture."""

    code, status = "gpu_failed", 500


class ModelUnavailableError(StageError):
    """The stage's model could not be loaded."""

    code, status = "model_unavailable", 503


class ServiceStartingError(StageError):
    """Models are being loaded."""

    code, status = "gpu_starting", 503
    retry_after_s = 3.0


class ServiceBusyError(StageError):
    """The queue is full."""

    code, status = "gpu_busy", 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceStoppingError(StageError):
    """The replica is being stopped; another one, or the next one, will do it."""

    code, status = "gpu_stopping", 503
    retry_after_s = 2.0
