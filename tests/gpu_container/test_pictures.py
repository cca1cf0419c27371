"""Whatever comes in: the right pixels, or an error that says what is wrong."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from gpu_container.errors import ImageTooLargeError, InvalidImageError
from gpu_container.pictures import read, size_of


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(width: int = 64, height: int = 16) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


GREY = Image.fromarray(ramp())
COLOUR = Image.merge("RGB", [GREY, GREY.transpose(Image.Transpose.FLIP_LEFT_RIGHT), GREY])


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    wide = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    pixels = np.asarray(read(saved(Image.fromarray(wide)), 1))
    assert pixels.shape == (16, 64, 3)
    assert np.abs(pixels[..., 0].astype(int) - ramp()).max() <= 1


def test_sixteen_bits_of_tiff_are_scaled_too() -> None:
    wide = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    pixels = np.asarray(read(saved(Image.fromarray(wide), "TIFF"), 1))
    assert np.abs(pixels[..., 1].astype(int) - ramp()).max() <= 1


def test_floating_point_numbers_are_refused_with_a_reason() -> None:
    with pytest.raises(InvalidImageError, match="floating point"):
        read(saved(Image.fromarray(ramp().astype(np.float32)), "TIFF"), 1)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_modes_without_alpha_become_colour(mode: str) -> None:
    image = COLOUR.convert(mode)
    result = read(saved(image), 1)
    assert result.mode == "RGB"
    assert (np.asarray(result) == np.asarray(image.convert("RGB"))).all()


def test_grey_with_alpha_and_palettes_with_transparency_keep_it() -> None:
    grey = GREY.convert("LA")
    grey.putalpha(GREY)
    assert (np.asarray(read(saved(grey), 1))[..., 3] == ramp()).all()
    palette = COLOUR.convert("P")
    transparent = int(np.asarray(palette)[0, 0])
    alpha = np.asarray(read(saved(palette, transparency=transparent), 1))[..., 3]
    assert ((alpha == 0) == (np.asarray(palette) == transparent)).all()


def test_cmyk_becomes_colour() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels = np.asarray(read(saved(red, "JPEG", quality=95), 1))
    assert pixels.shape == (16, 16, 3)
    assert pixels[..., 0].min() > 200
    assert pixels[..., 1:].max() < 60


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
        assert (np.asarray(read(data, 1).convert("RGB")) == (255, 0, 0)).all(), kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_leave_upright(orientation: int) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = np.asarray(read(saved(Image.fromarray(pixels), exif=exif), 1))
    assert result.shape == ((16, 32, 3) if orientation <= 4 else (32, 16, 3))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    y, x = corner[orientation]
    assert result[y, x, 0] == 255
    assert result[-1 - y, x, 0] == result[y, -1 - x, 0] == 0


def test_colours_of_another_profile_become_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    wanted = ImageCms.profileToProfile(
        COLOUR, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert wanted is not None
    data = saved(wanted, "TIFF", icc_profile=lab.tobytes())
    # 8 bits of LAB can't hold saturated colours exactly; read as if they were sRGB they are off by 100
    assert np.abs(np.asarray(read(data, 1)).astype(int) - np.asarray(COLOUR)).mean() <= 8


def test_a_damaged_profile_does_not_cost_the_picture() -> None:
    data = saved(COLOUR, icc_profile=b"no profile")
    assert (np.asarray(read(data, 1)) == np.asarray(COLOUR)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused_wherever_they_end(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    for end in range(0, len(data) * 9 // 10, max(1, len(data) // 40)):
        with pytest.raises(InvalidImageError):
            read(data[:end], 1)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(ImageTooLargeError, match="1200x1000"):
        size_of(saved(Image.new("L", (1200, 1000))), 1.0)
