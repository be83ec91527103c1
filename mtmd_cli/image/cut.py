"""Cutting: from an image and its plan to the pixels of every slice.

The resampling is Pillow's own integer arithmetic, which the reference reproduces; the letterbox follows
tools/mtmd/mtmd-image.cpp (img_tool::resize).
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mtmd_cli.image.plan import Filter, Fit, Plan, Resize
from mtmd_cli.image.size import Size


def cut(image: Image.Image, plan: Plan) -> list[Tensor]:
    """Render the slices of the plan in its order, each chain of resizes once: uint8 (rows, columns, 3) each."""
    rendered: dict[tuple[Resize, ...], Image.Image] = {(): image}

    def render(steps: tuple[Resize, ...]) -> Image.Image:
        if steps not in rendered:
            rendered[steps] = resize(render(steps[:-1]), steps[-1])
        return rendered[steps]

    slices = []
    for part in plan.slices:
        picture = render(part.steps)
        if part.box:
            x, y, size = part.box.x, part.box.y, part.box.size
            picture = picture.crop((x, y, x + size.width, y + size.height))
        if part.final:
            picture = resize(picture, part.final)
        slices.append(torch.from_numpy(np.array(picture)))
    return slices


def resize(image: Image.Image, step: Resize) -> Image.Image:
    """Resize an RGB image to step.size in the way that step.fit says."""
    if image.size == (step.size.width, step.size.height):
        return image
    if step.fit is Fit.STRETCH:
        return _resample(image, step.size, step.filter)
    canvas = Image.new("RGB", (step.size.width, step.size.height), step.colour)
    if step.fit is Fit.CORNER:
        canvas.paste(image)
        return canvas
    inner = _inner_size(image.size, step)
    canvas.paste(_resample(image, inner, step.filter), _offset(inner, step))
    return canvas


def _resample(image: Image.Image, size: Size, filter: Filter) -> Image.Image:
    """Resample widths, then heights: asked for both at once, Pillow 13 may begin with heights and round differently."""
    if filter is Filter.SAMPLE:
        return _sample(image, size)
    resampling = Image.Resampling[filter.name]
    return image.resize((size.width, image.height), resampling).resize((size.width, size.height), resampling)


def _sample(image: Image.Image, size: Size) -> Image.Image:
    """Interpolate to the nearest level; the reference keeps the fraction, at most half a level more."""
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    x = functional.interpolate(x, (size.height, size.width), mode="bilinear", align_corners=False)
    return Image.fromarray(x[0].round().to(torch.uint8).permute(1, 2, 0).numpy())


def _inner_size(image: tuple[int, int], step: Resize) -> Size:
    """The largest size with the image's aspect ratio inside step.size, in the float32 arithmetic of the reference."""
    edges = np.array(image, np.float32)
    target = np.array((step.size.width, step.size.height), np.float32)
    scaled = edges * (target / edges).min()
    rounded = np.ceil(scaled) if step.fit is Fit.PAD_CEIL else np.floor(scaled.astype(np.float64) + 0.5)
    # A ribbon can round to nothing; one row of it stays visible.
    width, height = np.clip(rounded, 1, target).astype(int).tolist()
    return Size(width, height)


def _offset(inner: Size, step: Resize) -> tuple[int, int]:
    half = 0.5 if step.fit is Fit.PAD_NEAREST else 0.0
    return (
        floor((step.size.width - inner.width) / 2 + half),
        floor((step.size.height - inner.height) / 2 + half),
    )
