"""The size of an image without its pixels."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from mtmd_cli.errors import ImageError
from mtmd_cli.image.load import ORIENTATION_TAG, image_size, load_image
from mtmd_cli.image.size import Size


def jpeg(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stream = io.BytesIO()
    Image.new("RGB", (30, 20)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_head_tells_the_size_of_the_upright_image(orientation: int) -> None:
    data = jpeg(orientation)
    assert image_size(data) == Size(*load_image(data).size)


def test_damaged_pixels_do_not_matter() -> None:
    assert image_size(jpeg(1)[:-4]) == Size(30, 20)


@pytest.mark.parametrize("data", [b"", b"not an image", jpeg(1)[:20]])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        image_size(data)


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match="at most 10"):
        image_size(jpeg(1), max_pixels=10)
