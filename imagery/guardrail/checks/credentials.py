"""What the file says of itself: Content Credentials, and XMP's word on a model."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import c2pa

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.subject import GuardrailSubject
from imagery.provenance.credentials import Credentials, CredentialsState
from imagery.provenance.reader import look
from imagery.provenance.trust import reading_context

_MOST = 300


class CredentialsCheck:
    """Who signed the picture, and whether it is as it was signed."""

    name: ClassVar[str] = "content_credentials"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Verify the whole chain. A file without a manifest costs a search of its bytes."""
        limits = subject.limits
        found = look(subject.data, trusting(subject.anchors))
        measured = _summary(found)
        refused = {"not broken": limits.refuse_broken, "not made by AI": limits.refuse_ai}
        limit = ", ".join(name for name, is_refused in refused.items() if is_refused) or "any"
        if limits.refuse_broken and found.state is CredentialsState.BROKEN:
            message = (
                "The picture's Content Credentials are broken: it, or something it was made from, was "
                "changed after it was signed. Send the file as its camera or program signed it."
            )
            return failed(self.name, measured, limit, "broken_credentials", message)
        if limits.refuse_ai and found.says_ai:
            message = "The picture says of itself that a model made it, or a part of it. Send a photo."
            return failed(self.name, measured, limit, "made_by_ai", message)
        return passed(self.name, measured, limit)


@lru_cache(maxsize=1)
def trusting(anchors_pem: str) -> c2pa.Context:
    """A context to read with, made once."""
    return reading_context(anchors_pem)


def _summary(found: Credentials) -> str:
    """Such as ``valid, Camera 1234, digitalCapture``."""
    parts = [found.state.value]
    if found.manifest is not None:
        parts += [found.manifest.signer] if found.manifest.signer else []
        parts += [url.rpartition("/")[2] for url in found.manifest.digital_source_types]
    elif found.reasons:
        parts += found.reasons
    if found.says_ai:
        parts.append("says AI")
    return ", ".join(parts)[:_MOST]
