"""What every vision family promises, on tiny files with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import open_gguf
from mtmd_cli.image.plan import Plan, Role, Slice
from mtmd_cli.image.size import Size
from mtmd_cli.nn.attention import Backend
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision
from mtmd_cli.vision.registry import VISION_FAMILIES
from mtmd_cli.weights import load_weights
from tests.parity.pair import CPU, TOLERANCE, distance, in_blocks, load_tower
from tests.tiny.outline import architecture, outlines, write_tiny

FEW = TokenLimits(least=1, most=48)  # tokens of an image, where a family takes bounds
REGISTERED = {family.name for family in VISION_FAMILIES}
OUTLINES = [path for path in outlines("vision") if architecture(path) in REGISTERED]
# Single pixels, lines, squares around the multiples of patches, photographs, ribbons.
SIZES = [
    *(Size(1, 1), Size(1, 2), Size(3, 1), Size(1, 100), Size(100, 1), Size(7, 5), Size(13, 14), Size(15, 15)),
    *(Size(16, 16), Size(27, 29), Size(28, 28), Size(37, 53), Size(56, 55), Size(64, 64), Size(96, 96), Size(97, 95)),
    *(Size(112, 113), Size(150, 40), Size(40, 150), Size(224, 224), Size(225, 223), Size(300, 200), Size(200, 301)),
    *(Size(640, 480), Size(480, 640), Size(1000, 1000), Size(1200, 320), Size(320, 1200), Size(1921, 1081)),
    Size(4000, 300),
]


def test_every_family_is_here() -> None:
    assert {architecture(path) for path in OUTLINES} == REGISTERED, "python -m tests.tiny.outline adds one"


@pytest.fixture(scope="module", params=OUTLINES, ids=lambda path: path.stem)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(request.param, tmp_path_factory.mktemp("tower") / "mmproj.gguf")


@pytest.fixture(scope="module")
def vision(file: Path) -> Vision:
    return load_tower(file, limits=FEW)


def some_pixels(size: Size, slices: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(slices, 3, size.height, size.width, generator=generator) * 2 - 1


@torch.inference_mode()
def test_as_many_tokens_come_as_were_promised(vision: Vision) -> None:
    seen = {piece.size for size in SIZES for piece in vision.slicing.plan(size).slices}
    for size in seen:
        promised = vision.family.tokens(vision.config, size)
        assert vision.tower(some_pixels(size)).shape == (1, promised.area, vision.width), size
        assert promised.area > 0


def test_the_slices_show_every_pixel(vision: Vision) -> None:
    for size in SIZES:
        plan = vision.slicing.plan(size)
        tiles = [piece for piece in plan.slices if piece.role is Role.TILE]
        assert all(piece.box is None for piece in plan.slices if piece.role is not Role.TILE), "a whole is cut"
        assert len(tiles) == plan.grid.area
        assert not tiles or not hidden(tiles).any(), (size, str(plan))
        assert tiles or len(plan.slices) == 1, "no tiles, and more than one whole"


def hidden(tiles: list[Slice]) -> torch.Tensor:
    """The pixels of the refined image that no tile shows."""
    refined = tiles[0].steps[-1].size
    covered = torch.zeros(refined.height, refined.width, dtype=torch.bool)
    for tile in tiles:
        assert tile.box is not None and tile.steps == tiles[0].steps
        covered[tile.box.y : tile.box.y + tile.box.size.height, tile.box.x : tile.box.x + tile.box.size.width] = True
    return ~covered


def test_markers_keep_the_order_of_the_plan(vision: Vision) -> None:
    for size in SIZES:
        plan = vision.slicing.plan(size)
        assert [part for part in vision.markers.arrange(plan) if not isinstance(part, str)] == list(plan.slices)


@torch.inference_mode()
def test_every_backend_computes_the_same(vision: Vision, file: Path) -> None:
    chunked, fused = (load_tower(file, backend, limits=FEW).tower for backend in (Backend.CHUNKED, Backend.SDPA))
    for piece in largest_of_each_role(vision.slicing.plan(Size(1200, 320))):
        pixels = some_pixels(piece.size)
        expected = vision.tower(pixels)
        assert expected.isfinite().all()
        assert distance(in_blocks(partial(chunked, pixels)), expected) <= TOLERANCE
        assert distance(fused(pixels), expected) <= TOLERANCE


def largest_of_each_role(plan: Plan) -> Iterator[Slice]:
    for role in Role:
        own = [piece for piece in plan.slices if piece.role is role]
        if own:
            yield max(own, key=lambda piece: piece.size.area)


@torch.inference_mode()
def test_slices_do_not_see_each_other(vision: Vision) -> None:
    pixels = some_pixels(vision.slicing.plan(Size(300, 200)).slices[0].size, slices=3)
    one_by_one = torch.cat([vision.tower(one[None]) for one in pixels])
    assert distance(vision.tower(pixels), one_by_one) <= TOLERANCE


def test_a_missing_tensor_is_named(file: Path) -> None:
    opened = open_gguf(file)
    name = "v.patch_embd.weight"
    without = {other: tensor for other, tensor in opened.tensors.items() if other != name}
    vision, tensors = build_vision(replace(opened, tensors=without), TokenLimits())
    with pytest.raises(UnsupportedModel, match=name):
        load_weights(vision.tower, tensors, source="mmproj.gguf", device=CPU, dtype=torch.float32)


def test_an_unused_tensor_is_named(file: Path) -> None:
    opened = open_gguf(file)
    surplus = replace(opened.tensors["v.patch_embd.weight"], name="v.blk.0.surplus.weight")
    with_surplus = replace(opened, tensors={**opened.tensors, surplus.name: surplus})
    vision, tensors = build_vision(with_surplus, TokenLimits())
    with pytest.raises(UnsupportedModel, match=surplus.name):
        load_weights(vision.tower, tensors, source="mmproj.gguf", device=CPU, dtype=torch.float32)
