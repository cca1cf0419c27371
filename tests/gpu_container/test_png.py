"""PNG in row bands: every decoder reads back exactly what was written."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpu_container.pictures import write
from gpu_container.png import PngWriter


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([3, 4]),
    band=st.integers(1, 80),
    level=st.integers(0, 3),
)
def test_decoders_read_what_was_written(
    height: int, width: int, channels: int, band: int, level: int
) -> None:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)
    bands = (pixels[top : top + band] for top in range(0, height, band))
    with write(bands, width, height, channels, level) as file:
        data = file.read()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("RGBA" if channels == 4 else "RGB")
        assert (np.asarray(image) == pixels).all()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB
    assert (cv2.cvtColor(decoded, order) == pixels).all()


def test_bands_larger_than_a_strip_are_right() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 2500, 3), np.uint8)
    with write([pixels], 2500, 900, 3, 1) as file, Image.open(file) as image:
        assert (np.asarray(image) == pixels).all()


def test_flat_areas_compress_to_almost_nothing() -> None:
    with write([np.zeros((1000, 1000, 4), np.uint8)], 1000, 1000, 4, 1) as file:
        assert len(file.read()) < 60_000


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 4, 3), (1, 5, 4)])
def test_rows_that_do_not_fit_are_refused(shape: tuple[int, int, int]) -> None:
    writer = PngWriter(io.BytesIO(), width=5, height=1, channels=3, level=1)
    with pytest.raises(ValueError, match="do not fit"):
        writer.write(np.zeros(shape, np.uint8))


def test_a_picture_without_its_last_rows_is_no_picture() -> None:
    with pytest.raises(ValueError, match="1 rows are missing"):
        write([np.zeros((3, 5, 3), np.uint8)], 5, 4, 3, 1)
