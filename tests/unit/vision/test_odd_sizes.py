"""Projector files whose metadata cannot be are refused by the key that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.gguf import GGUFFile, Metadata
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.image.size import Size
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision

KEYS: dict[str, Value] = {
    "general.architecture": "clip",
    "clip.vision.image_size": 56,
    "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 64,
    "clip.vision.feed_forward_length": 96,
    "clip.vision.block_count": 4,
    "clip.vision.attention.head_count": 4,
    "clip.vision.attention.layer_norm_epsilon": 1e-6,
    "clip.vision.projection_dim": 64,
    "clip.vision.image_mean": (0.5, 0.5, 0.5),
    "clip.vision.image_std": (0.5, 0.5, 0.5),
}

WINDOWS: dict[str, Value] = {
    "projector.window_side": 4,
    "projector.query_side": 2,
    "feature_layer": (1, 3),
    "projector.spatial_offsets": (-1, 0),
}


def vision(projector: str, changes: dict[str, Value], limits: TokenLimits | None = None) -> Vision:
    keys = {**KEYS, "clip.projector_type": projector, **{f"clip.vision.{key}": value for key, value in changes.items()}}
    return build_vision(GGUFFile(Path("mmproj.gguf"), Metadata(keys), {}), limits or TokenLimits())[0]


@pytest.mark.parametrize(
    ("projector", "changes", "found"),
    [
        ("mlp", {"feature_layer": (1, 5)}, r"feature_layer is \[1, 5\], expected numbers from 0 to 4"),
        ("mlp", {"feature_layer": (-2,)}, r"feature_layer is \[-2\]"),
        ("mlp", {"image_grid_pinpoints": (56, 112, 112)}, "has 3 numbers, expected pairs"),
        ("ldpv2", {"image_size": 70}, "5 patches along an edge, expected an even number"),
        ("internvl", {"projector.scale_factor": 0}, "scale_factor is 0, expected 1 to 16"),
        ("internvl", {"preproc_min_tiles": 4, "preproc_max_tiles": 2}, "min_tiles is 4 and _max_tiles 2"),
        ("internvl", {"preproc_max_tiles": 2**31}, "_max_tiles 2147483648, expected 1 to 1000"),
        ("pixtral", {"spatial_merge_size": 0}, "spatial_merge_size is 0, expected 1 to 16"),
        ("pixtral", {"attention.head_count": 3}, "3 heads share 64 values"),
        ("gemma4v", {}, r"v.position_embd.weight has shape \(\), expected a table for columns and one for rows"),
        ("granite4_vision", {**WINDOWS, "projector.window_side": 3}, "windows of 3 patches do not fill 4"),
        ("granite4_vision", {**WINDOWS, "projector.query_side": 0}, "or 0 queries do not fill a window"),
        ("granite4_vision", {**WINDOWS, "feature_layer": (1, 4)}, "blocks below 4"),
        ("granite4_vision", {**WINDOWS, "projector.spatial_offsets": (-1,)}, "expected as many of both"),
        ("granite4_vision", {**WINDOWS, "projector.spatial_offsets": (-1, 4)}, "offsets from -1 to 3"),
    ],
)
def test_the_wrong_key_is_named(projector: str, changes: dict[str, Value], found: str) -> None:
    with pytest.raises(GGUFError, match=found):
        vision(projector, changes)


def test_tiles_must_fill_the_pinpoints() -> None:
    with pytest.raises(UnsupportedModel, match="tiles of 56×56 do not fill"):
        vision("mlp", {"image_grid_pinpoints": (100, 56)})


@pytest.mark.parametrize(
    ("projector", "image", "tokens"),
    [
        ("mlp", Size(56, 56), Size(4, 4)),
        ("ldp", Size(56, 56), Size(2, 2)),
        ("janus_pro", Size(56, 56), Size(4, 4)),
        ("pixtral", Size(56, 42), Size(14, 1)),  # three rows of four, two breaks
        ("pixtral", Size(56, 14), Size(4, 1)),
        ("lightonocr", Size(56, 42), Size(4, 3)),
    ],
)
def test_tokens_of_a_slice(projector: str, image: Size, tokens: Size) -> None:
    found = vision(projector, {})
    assert found.family.tokens(found.config, image) == tokens


def test_lightonocr_scales_to_the_longest_edge() -> None:
    found = vision("lightonocr", {"image_size": 1540, "spatial_merge_size": 2})
    assert found.slicing.plan(Size(770, 385)).slices[0].size == Size(1540, 784)  # the shorter edge in whole tokens
    bounded = vision("lightonocr", {"image_size": 1540, "spatial_merge_size": 2}, TokenLimits(most=100))
    assert bounded.slicing.plan(Size(770, 385)).slices[0].size.area <= 100 * 28**2
