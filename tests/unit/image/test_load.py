"""Any image becomes upright RGB; anything else is an error with a way out."""

from __future__ import annotations

import io
import os
import struct
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtmd_cli.errors import FileError, ImageError, MtmdError
from mtmd_cli.image.load import Alpha, load_image, to_rgb

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def pixel(data: bytes, alpha: Alpha = "drop") -> object:
    image = load_image(data, alpha=alpha)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([*RED, *GREEN, *BLUE])
    return encoded(image, transparency=1) if transparent else encoded(image)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.new("RGB", (2, 2), RED)), RED),
        (encoded(Image.new("L", (2, 2), 77)), (77, 77, 77)),
        (encoded(Image.new("LA", (2, 2), (77, 10))), (77, 77, 77)),
        (encoded(Image.new("RGBA", (2, 2), (*BLUE, 0))), BLUE),
        (encoded(Image.new("1", (2, 2), 1)), (255, 255, 255)),
        (palette(transparent=False), GREEN),
        (palette(transparent=True), GREEN),
        (encoded(Image.fromarray(np.full((2, 2), 0x4DFF, np.uint16))), (77, 77, 77)),  # 16 bits: the upper eight
        (encoded(Image.fromarray(np.full((2, 2), 0x4DFF, np.int32)), "TIFF"), (77, 77, 77)),
        (encoded(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF"), (127, 127, 127)),  # floats up to 1
        (encoded(Image.fromarray(np.full((2, 2), 77, np.float32)), "TIFF"), (77, 77, 77)),  # floats up to 255
        (encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"), (0, 0, 0)),
        (encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF"), RED),
        (encoded(Image.new("RGB", (2, 2), RED), "WEBP", lossless=True), RED),
        (encoded(Image.new("RGB", (2, 2), RED), "BMP"), RED),
        (encoded(Image.new("RGB", (2, 2), RED), "GIF"), RED),
        (encoded(Image.new("RGB", (2, 2), RED), "PPM"), RED),
        (encoded(Image.new("RGB", (2, 2), RED), icc_profile=b"not a profile"), RED),
    ],
)
def test_every_mode_becomes_rgb(data: bytes, expected: tuple[int, int, int]) -> None:
    assert pixel(data) == expected


@pytest.mark.parametrize(
    ("data", "white", "black"),
    [
        (encoded(Image.new("RGBA", (2, 2), (*BLUE, 0))), (255, 255, 255), (0, 0, 0)),
        (encoded(Image.new("RGBA", (2, 2), (*BLUE, 128))), (127, 127, 255), (0, 0, 128)),
        (encoded(Image.new("LA", (2, 2), (77, 0))), (255, 255, 255), (0, 0, 0)),
        (palette(transparent=True), (255, 255, 255), (0, 0, 0)),
        (encoded(Image.new("RGB", (2, 2), BLUE), transparency=BLUE), (255, 255, 255), (0, 0, 0)),
        (encoded(Image.new("RGB", (2, 2), BLUE)), BLUE, BLUE),
    ],
)
def test_alpha_can_lie_on_white_or_black(data: bytes, white: object, black: object) -> None:
    assert (pixel(data, "white"), pixel(data, "black")) == (white, black)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (24, 16))
    upright.paste(RED, (0, 0, 8, 8))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert load_image(encoded(stored, exif=exif)).tobytes() == upright.tobytes()


def test_an_image_in_memory_is_treated_as_one_in_a_file() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.open(io.BytesIO(encoded(Image.new("RGBA", (3, 2), (*BLUE, 0)), exif=exif)))
    assert to_rgb(stored).size == (2, 3)
    assert to_rgb(stored, "white").getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(Image.fromarray(np.full((2, 2), 0x4DFF, np.uint16))).getpixel((0, 0)) == (77, 77, 77)


def test_a_photograph_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit on pixels a copy is half a gigabyte."""
    data = encoded(Image.new("RGB", (2, 2), RED))
    monkeypatch.setattr(Image.Image, "convert", None)
    monkeypatch.setattr(Image.Image, "copy", None)
    assert load_image(data).getpixel((0, 0)) == RED


def test_a_damaged_exif_block_is_ignored() -> None:
    assert load_image(encoded(Image.new("RGB", (3, 2)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (3, 2)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_shows_its_first_frame(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    frames = [Image.new("RGB", (4, 4), GREEN)]
    data = encoded(Image.new("RGB", (4, 4), RED), format, save_all=True, append_images=frames, **options)
    assert pixel(data) == RED


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_path_may_be_text_or_path(as_type: type, tmp_path: Path) -> None:
    (tmp_path / "ü.png").write_bytes(encoded(Image.new("RGB", (3, 2), RED)))
    assert load_image(as_type(tmp_path / "ü.png")).size == (3, 2)


def png_head(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
JPEG = encoded(Image.new("RGB", (64, 64), RED), "JPEG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello, this is text\n" * 50, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),  # never handed to an interpreter
        (bytes(range(256)) * 4, "not an image"),
        (PNG[:20], "damaged"),
        (PNG[:-2000], "damaged"),
        (JPEG[: len(JPEG) // 2], "damaged"),
        (png_head(64, 64), "damaged"),
        (png_head(0, 64), "image"),
        (png_head(40_000, 40_000), "pixels"),
        (png_head(12_000, 12_000), "144,000,000 pixels, at most 134,217,728"),
        (png_head(2**31 - 1, 2**31 - 1), "pixels"),
    ],
)
def test_what_is_no_sound_image_is_refused_quickly_and_quietly(
    data: bytes, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in (path, data):
            with pytest.raises(ImageError, match=words) as caught:
                load_image(source)
            assert caught.value.hint
    assert time.perf_counter() - start < 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("length", range(0, len(PNG), 397))
def test_a_png_cut_off_anywhere_is_an_error(length: int) -> None:
    with pytest.raises(ImageError):
        load_image(PNG[:length])


def test_colours_without_a_way_to_rgb_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("LAB", (2, 2)), "TIFF")
    assert load_image(data).mode == "RGB"

    def without_colour_management(self: Image.Image, mode: str) -> None:
        raise ImportError("The _imagingcms C module is not installed")

    monkeypatch.setattr(Image.Image, "convert", without_colour_management)
    with pytest.raises(ImageError, match="'LAB'") as caught:
        load_image(data)
    assert caught.value.hint


def test_the_limit_on_pixels_counts_the_last_one() -> None:
    data = encoded(Image.new("RGB", (10, 10)))
    assert load_image(data, max_pixels=100).size == (10, 10)
    with pytest.raises(ImageError, match="10×10"):
        load_image(data, max_pixels=99)


def test_pillows_warning_about_large_images_stays_unsaid(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match="damaged"):  # 100 megapixels, of which the file holds a few
        load_image(png_head(10_000, 10_000))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent.png", "no such image"), (".", "a directory"), ("pipe", "not a regular file"), ("x" * 300, "cannot read")],
)
def test_a_path_that_cannot_be_read_says_why(name: str, words: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match=words) as caught:
        load_image(tmp_path / name)
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MtmdError, match="Permission denied"):
        load_image(tmp_path / "a.png")
