"""The guardrail: admits or rejects an image, with numbers."""

from imagery.guardrail.content_safety import ContentSafetyUnavailableError
from imagery.guardrail.examine import Examination, Guardrail, NoThumbnailError
from imagery.guardrail.sandbox import SandboxBusyError, SandboxError

__all__ = [
    "ContentSafetyUnavailableError",
    "Examination",
    "Guardrail",
    "NoThumbnailError",
    "SandboxBusyError",
    "SandboxError",
]
