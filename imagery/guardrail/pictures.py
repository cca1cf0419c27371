"""Reading pictures from strangers: header first, pixels only when their number is known to be fair."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageOps

from imagery.bounded_picture import DECODE_ERRORS, open_picture

ALLOWED_FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
# MPO is how Pillow names a JPEG with a second picture behind it; it is opened as JPEG
OPENED_FORMATS = [name for name in ALLOWED_FORMATS if name != "MPO"]


class PictureError(Exception):
    """The bytes are no picture we take. ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Header:
    """What a file says of itself before any pixel is decoded; sides in pixels."""

    format: str
    content_type: str
    width: int
    height: int
    frames: int

    @property
    def megapixels(self) -> float:
        """Pixels of all frames, in millions."""
        return self.width * self.height * self.frames / 1e6


def read_header(data: bytes) -> Header:
    """Read the header by content, never by name. Raises ``PictureError``."""
    with _open(data) as image:
        frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        name = str(image.format)
        return Header(name, ALLOWED_FORMATS[name], image.width, image.height, frames)


def decode(data: bytes) -> Image.Image:
    """Decode every pixel of the first frame. Raises ``PictureError`` (``truncated_image``)."""
    image = _open(data)
    try:
        image.load()
    except DECODE_ERRORS as error:
        raise PictureError(
            "truncated_image", "The image data is cut off or damaged: it can't be decoded to the end."
        ) from error
    return image


def normalise(image: Image.Image) -> Image.Image:
    """The picture upright, sRGB, 8 bit, RGB or RGBA (H, W unchanged but for orientation), no metadata."""
    upright = ImageOps.exif_transpose(image)
    profile = upright.info.get("icc_profile")
    has_alpha = upright.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in upright.info
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _to_8_bit(upright)
    alpha = upright.convert("RGBA").getchannel("A") if has_alpha else None
    colour = _to_srgb(upright, profile) if profile else upright.convert("RGB")
    if alpha is not None:
        colour.putalpha(alpha)
    clean = Image.new(colour.mode, colour.size)
    clean.paste(colour)
    return clean


def _open(data: bytes) -> Image.Image:
    try:
        return open_picture(data, OPENED_FORMATS, max_megapixels=None)
    except DECODE_ERRORS as error:
        raise PictureError(
            "unsupported_image_type",
            f"The file is not an image of a supported type ({', '.join(OPENED_FORMATS)}).",
        ) from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (0..65535) down; wider integers and floats are clipped to that range first."""
    wide = image.convert("F")
    if image.mode != "F" or (extrema := wide.getextrema())[1] > 1.0 or extrema[0] < 0.0:  # type: ignore[operator]
        return wide.point(lambda value: value * (255.0 / 65535.0)).convert("L")
    return wide.point(lambda value: value * 255.0).convert("L")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the embedded profile; a broken profile is ignored, as viewers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        colour = image if image.mode in {"RGB", "CMYK", "L"} else image.convert("RGB")
        converted = ImageCms.profileToProfile(
            colour, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")
