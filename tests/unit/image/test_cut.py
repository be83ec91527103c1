"""Cutting renders what the plan says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import mtmd_cli.image.cut
from mtmd_cli.image.cut import cut, resize
from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, Role, Slice, whole
from mtmd_cli.image.size import Box, Size

GREY = (127, 127, 127)


def noise(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


def test_pixels_come_as_rows_columns_and_channels() -> None:
    image = noise(5, 3)
    (pixels,) = cut(image, whole(Size(5, 3), Resize(Size(5, 3))))
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.numpy(), np.asarray(image))


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("filter", Filter)
def test_an_image_of_the_right_size_is_not_resampled(fit: Fit, filter: Filter) -> None:
    image = noise(12, 9)
    assert resize(image, Resize(Size(12, 9), filter, fit, GREY)) is image


@pytest.mark.parametrize("filter", [Filter.BILINEAR, Filter.BICUBIC, Filter.LANCZOS])
@pytest.mark.parametrize("size", [Size(30, 100), Size(100, 30), Size(11, 5), Size(400, 301)])
def test_widths_are_resampled_before_heights_whatever_pillow_prefers(size: Size, filter: Filter) -> None:
    image, resampling = noise(67, 211), Image.Resampling[filter.name]
    rows_done = image.resize((size.width, 211), resampling)
    expected = rows_done.resize((size.width, size.height), resampling)
    assert resize(image, Resize(size, filter)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("image", "fit", "inner"),
    [
        (Size(300, 1000), Fit.PAD_CEIL, Box(78, 0, Size(68, 224))),  # 67.2 columns are 68
        (Size(300, 1000), Fit.PAD_NEAREST, Box(79, 0, Size(67, 224))),  # 67.2 columns are 67, 78.5 lies nearer to 79
        (Size(1000, 300), Fit.PAD_CEIL, Box(0, 78, Size(224, 68))),
        (Size(999, 1000), Fit.PAD_CEIL, Box(0, 0, Size(224, 224))),  # less than a pixel is no border
        (Size(4000, 1), Fit.PAD_CEIL, Box(0, 111, Size(224, 1))),  # a ribbon keeps one row,
        (Size(4000, 1), Fit.PAD_NEAREST, Box(0, 112, Size(224, 1))),  # even where it rounds to none
        (Size(1, 1), Fit.PAD_CEIL, Box(0, 0, Size(224, 224))),
    ],
)
def test_a_pad_keeps_the_shape_and_centres_it(image: Size, fit: Fit, inner: Box) -> None:
    white = Image.new("RGB", (image.width, image.height), "white")
    padded = np.asarray(resize(white, Resize(Size(224, 224), fit=fit, colour=GREY)))
    expected = np.full((224, 224, 3), 127)
    expected[inner.y : inner.y + inner.size.height, inner.x : inner.x + inner.size.width] = 255
    assert np.array_equal(padded, expected)


def test_each_chain_of_resizes_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Size] = []

    def counting(image: Image.Image, step: Resize) -> Image.Image:
        rendered.append(step.size)
        return resize(image, step)

    monkeypatch.setattr(mtmd_cli.image.cut, "resize", counting)
    first, second, third = (Resize(Size(n, n)) for n in (32, 16, 8))
    tiles = tuple(Slice((first, second), Box(x, 0, Size(8, 8)), Role.TILE, 0, x // 8) for x in (0, 8))
    cut(noise(9, 9), Plan(Size(9, 9), (*tiles, Slice((first, second, third), role=Role.OVERVIEW)), Size(2, 1)))
    assert rendered == [Size(32, 32), Size(16, 16), Size(8, 8)]


def test_a_corner_keeps_the_pixels_and_fills_right_and_below() -> None:
    image = noise(4, 2)
    placed = np.asarray(resize(image, Resize(Size(4, 4), fit=Fit.CORNER, colour=GREY)))
    assert np.array_equal(placed[:2], np.asarray(image))
    assert (placed[2:] == 127).all()


def test_sampling_looks_at_four_pixels_however_much_it_shrinks() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 0, 200, 100], np.uint8), (8, 6))).convert("RGB")  # 24 columns
    sampled = np.asarray(resize(stripes, Resize(Size(6, 2), Filter.SAMPLE)))
    assert (sampled == 100).all()  # the mean of columns two and three of every four


def test_a_box_over_the_edge_is_black_there_and_made_final_afterwards() -> None:
    white = Image.new("RGB", (8, 4), "white")
    final = Resize(Size(16, 16), Filter.SAMPLE)
    (pixels,) = cut(white, Plan(Size(8, 4), (Slice((), Box(0, 0, Size(8, 8)), final=final),)))
    assert pixels.shape == (16, 16, 3)
    assert (pixels[:7] == 255).all()
    assert (pixels[9:] == 0).all()


def test_a_box_is_cut_at_its_place() -> None:
    image = noise(8, 6)
    plan = Plan(Size(8, 6), (Slice((Resize(Size(8, 6)),), Box(3, 2, Size(4, 3))),))
    assert np.array_equal(cut(image, plan)[0].numpy(), np.asarray(image)[2:5, 3:7])
