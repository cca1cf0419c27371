"""Reads and writes pictures: every input becomes upright 8-bit sRGB."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

from gpu_container.errors import ImageTooLargeError, InvalidImageError
from gpu_container.png import PngWriter
from imagery.bounded_picture import DECODE_ERRORS, TooManyPixelsError, open_picture
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
_STEPS_OF_16_IN_8 = 257
_SRGB = ImageCms.createProfile("sRGB")


def size_of(data: bytes, max_megapixels: float | None = None) -> tuple[int, int]:
    """Width and height, from the header. Raises ``InvalidImageError``, ``ImageTooLargeError``."""
    try:
        with open_picture(data, _FORMATS, max_megapixels) as opened:
            return opened.width, opened.height
    except TooManyPixelsError as error:
        raise ImageTooLargeError(f"The picture is too large: {error}.") from error
    except DECODE_ERRORS as error:
        raise InvalidImageError("The source is no picture, or a damaged one.") from error


def read(data: bytes, max_megapixels: float) -> Image.Image:
    """Decode to upright RGB or RGBA in sRGB; of an animation the first frame.

    Raises ``InvalidImageError``, ``ImageTooLargeError``.
    """
    try:
        with open_picture(data, _FORMATS, max_megapixels) as opened:
            return _plain(ImageOps.exif_transpose(opened))
    except TooManyPixelsError as error:
        raise ImageTooLargeError(f"The picture is too large: {error}.") from error
    except DECODE_ERRORS as error:
        raise InvalidImageError("The source is no picture, or a damaged one.") from error


def read_own(data: bytes) -> Image.Image:
    """Decode a PNG that ``write`` has made. Raises ``OSError``, ``ValueError``."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
        opened.load()
        return opened


def write(bands: Iterable[np.ndarray], width: int, height: int, channels: int, level: int) -> BinaryIO:
    """PNG of row bands (rows, width, channels) uint8 in a temporary file, which the caller closes.

    A file and not memory: the largest results have hundreds of MB.
    """
    from tempfile import SpooledTemporaryFile

    file: BinaryIO = SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # type: ignore[assignment]  # noqa: SIM115
    try:
        writer = PngWriter(file, width, height, channels, level)
        for band in bands:
            writer.write(band)
        writer.close()
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


_SPOOL_BYTES = 16 * 1024 * 1024


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise InvalidImageError("Pixels are floating point numbers of unknown range; send 8 or 16 bits.")
    alpha = None
    if image.has_transparency_data:
        image = image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("L" if image.mode == "LA" else "RGB")
    colour = _to_srgb(image)
    if alpha is not None:
        colour.putalpha(alpha)
    return colour


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, which Pillow would clip at 255 instead of scaling it."""
    steps = np.asarray(image).astype(np.float32) / _STEPS_OF_16_IN_8
    grey = np.clip(np.rint(steps), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """Colour by the picture's own profile where it has one, else as if it were sRGB."""
    embedded = image.info.get("icc_profile")
    if embedded:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
            if "srgb" not in ImageCms.getProfileDescription(profile).lower():
                converted = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            # a damaged or unfitting profile must not cost the picture
            _log.warning("colour_profile_ignored", error=type(error).__name__)
    return image.convert("RGB")
