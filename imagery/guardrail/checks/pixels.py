"""What the pixels show: whether they are all there, and whether there is something to cut out."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.pictures import PictureError
from imagery.guardrail.subject import CELLS, GuardrailSubject

# weights of red, green and blue in the luminance (ITU-R BT.601)
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_NEAR = 6.0


class DecodingCheck:
    """Every pixel decodes."""

    name: ClassVar[str] = "decodes"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Decode to the end."""
        try:
            picture = subject.picture
        except PictureError as error:
            return failed(self.name, "no", "whole image", error.code, str(error))
        megapixels = subject.scaled_from_mp
        message = f"scaled from {megapixels:.1f} MP" if megapixels is not None else "ok"
        return passed(self.name, f"{picture.width}x{picture.height} {picture.mode}", "whole image", message)


class BlanknessCheck:
    """Would background removal find a subject at all? Not in a plain area."""

    name: ClassVar[str] = "blankness"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Measure the contrast of the busiest part, and the share of the most common colour in the whole."""
        contrast = float(subject.busiest.std(axis=(0, 1)).max())
        pixels = np.asarray(subject.small, dtype=np.float32)
        middle = np.median(pixels, axis=(0, 1))
        share = float((np.abs(pixels - middle).max(axis=2) <= _NEAR).mean())
        limits = subject.limits
        measured = f"contrast {contrast:.1f}, {share:.2%} one colour"
        limit = f"contrast {limits.min_contrast:g}, at most {limits.max_uniform_share:.2%}"
        if contrast < limits.min_contrast:
            message = "The picture is one plain colour: there is no subject to cut out."
            return failed(self.name, measured, limit, "blank_image", message)
        if share > limits.max_uniform_share:
            message = f"{share:.2%} of the picture are one plain colour: its subject is too small to cut out."
            return failed(self.name, measured, limit, "blank_image", message)
        return passed(self.name, measured, limit)


class ExposureCheck:
    """Neither night nor snow alone: in the busiest part something must be told from something else."""

    name: ClassVar[str] = "exposure"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Take the darkest and the brightest percent of the luminance."""
        light = subject.busiest @ _LUMA
        shadow, highlight = (float(value) for value in np.percentile(light, (1, 99)))
        limits = subject.limits
        measured = f"{shadow:.0f} to {highlight:.0f} of 255"
        limit = f"from {limits.min_highlight:g} or to {limits.max_shadow:g}, or {limits.min_range:g} apart"
        if highlight - shadow >= limits.min_range:
            return passed(self.name, measured, limit)
        if highlight < limits.min_highlight:
            message = "The picture is too dark: its parts can't be distinguished. Light the subject."
            return failed(self.name, measured, limit, "too_dark", message)
        if shadow > limits.max_shadow:
            message = "The picture is over-exposed: its parts can't be distinguished. Expose it less."
            return failed(self.name, measured, limit, "too_bright", message)
        return passed(self.name, measured, limit)


class SharpnessCheck:
    """Variance of the Laplacian in the sharpest part of the picture: a blurred background is no fault."""

    name: ClassVar[str] = "sharpness"

    def run(self, subject: GuardrailSubject) -> CheckResult:
        """Filter the small copy's luminance, cell by cell."""
        found, least = sharpness(subject.luminance), subject.limits.min_sharpness
        measured, limit = f"{found:.1f}", f"at least {least:g}"
        if found < least:
            message = (
                "The picture is blurred everywhere: no edge of a subject can be seen. Focus and try again."
            )
            return failed(self.name, measured, limit, "too_blurry", message)
        return passed(self.name, measured, limit)


def sharpness(luminance: np.ndarray) -> float:
    """Largest variance of the Laplacian over 8x8 cells of ``luminance`` (H, W); 0.0 below 3 px a side."""
    if min(luminance.shape) < 3:
        return 0.0
    inner = luminance[1:-1, 1:-1]
    edges = (
        luminance[:-2, 1:-1] + luminance[2:, 1:-1] + luminance[1:-1, :-2] + luminance[1:-1, 2:] - 4.0 * inner
    )
    rows = np.array_split(edges, min(CELLS, edges.shape[0]), axis=0)
    cells = (cell for row in rows for cell in np.array_split(row, min(CELLS, row.shape[1]), axis=1))
    return max(float(cell.var()) for cell in cells)
