"""Reading an image file: whatever mode it has becomes upright 8-bit RGB; a bad file an error with a way out."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from mtmd_cli.errors import FileError, ImageError
from mtmd_cli.image.size import Size

# Room for a 108-megapixel photograph; Pillow keeps four bytes a pixel, so half a gigabyte.
MAX_PIXELS = 1 << 27

# Formats with a signature that hold pixels only: Pillow would hand EPS to an interpreter and take any bytes for TGA.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "QOI")
FORMAT_HINT = "PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF are read; convert other formats to one of them"

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)  # width and height change places

Alpha = Literal["drop", "white", "black"]


def load_image(source: str | Path | bytes, *, alpha: Alpha = "drop", max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a file, or its bytes, as upright RGB; of an animation the first frame. Colour profiles are ignored.

    alpha: "drop" shows the colours under transparent pixels, as the reference does; "white" and "black" are grounds.
    Raises FileError when the file cannot be read, ImageError when it is no image, damaged, or larger than max_pixels.
    """
    with _open(source) as stream, _quiet_pillow():
        name = _name(source)
        return to_rgb(_decode(stream, name, max_pixels), alpha, name=name)


def to_rgb(image: Image.Image, alpha: Alpha = "drop", *, name: str = "the image") -> Image.Image:
    """An image in memory as load_image would give it; the same object where nothing is to be done."""
    orientation = _orientation(image)
    try:
        image = _without_alpha(image, alpha)
    except Exception as error:  # rare modes need parts that a build of Pillow may lack
        raise ImageError(
            f"{name}: pixels of kind {image.mode!r} cannot be shown as RGB", hint="save it as an RGB image"
        ) from error
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def image_size(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Size:
    """The size that load_image gives, from the head of the file alone. Raises as it does, but for damaged pixels."""
    with _open(source) as stream, _quiet_pillow():
        image = _decode(stream, _name(source), max_pixels, pixels=False)
        turned = _orientation(image) in TURNED
        return Size(*(reversed(image.size) if turned else image.size))


def _name(source: str | Path | bytes) -> str:
    return "the image" if isinstance(source, bytes) else Path(source).name


def _open(source: str | Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        # A pipe or a device could keep us waiting for ever.
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise FileError(f"{path} is {kind}, expected an image", hint="pass the path of one image file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise FileError(f"no such image: {path}", hint="check the path that --image names") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(f"cannot read the image {path}: {reason}", hint="check its name and permissions") from error


def _decode(stream: IO[bytes], name: str, max_pixels: int, *, pixels: bool = True) -> Image.Image:
    """The decoded image in the mode of the file. The size is checked before any pixel is decoded."""
    if not stream.read(1):
        raise ImageError(f"{name} is empty, expected an image", hint="check the download or the program that wrote it")
    stream.seek(0)
    Image.init()
    try:
        image = Image.open(stream, formats=[f for f in FORMATS if f in Image.OPEN])
        size = Size(*image.size)
        if size.area > max_pixels:
            raise ImageError(
                f"{name} has {size} = {size.area:,} pixels, at most {max_pixels:,} are read",
                hint="scale the image down first",
            )
        if pixels:
            image.load()
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image of a known format, or its head is damaged", hint=FORMAT_HINT
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has too many pixels: {error}", hint="scale the image down first") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over
        raise ImageError(f"{name} is damaged: {error}", hint="check the download, or save the image again") from error
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none; a damaged EXIF block does not make an image unreadable."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # as in _decode
        return 1


def _without_alpha(image: Image.Image, alpha: Alpha) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if alpha == "drop" or not image.has_transparency_data:
        # Pillow would copy what is RGB already, half a gigabyte at the limit on pixels.
        return image if image.mode == "RGB" else image.convert("RGB")
    canvas = Image.new("RGBA", image.size, alpha)
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _to_bytes(levels: np.ndarray) -> np.ndarray:
    """Gray levels as bytes: of 16 bits the upper eight, as in the reference; floats end at 1, or passing it at 255."""
    if levels.dtype.kind != "f":
        return (levels >> 8).clip(0, 255).astype(np.uint8)
    levels = np.nan_to_num(levels)
    return (levels * (255.0 if levels.max() <= 1 else 1.0)).clip(0, 255).astype(np.uint8)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr: an error says what is wrong with an image, or nothing does."""
    handler = logging.NullHandler()
    logger = logging.getLogger("PIL")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
