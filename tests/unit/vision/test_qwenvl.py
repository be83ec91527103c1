"""What a Qwen-VL projector may say about itself, and what it must not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import GGMLType, GGUFFile, Metadata, PackedTensor
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.image.size import Size
from mtmd_cli.nn.vit import ViTSpec
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.families.qwenvl import QwenTower
from mtmd_cli.vision.fixups import join_frames
from mtmd_cli.vision.loader import Vision, build_vision

KEYS: dict[str, Value] = {
    "general.architecture": "clip",
    "clip.projector_type": "qwen2.5vl_merger",
    "clip.use_silu": True,
    "clip.vision.image_size": 560,
    "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 64,
    "clip.vision.feed_forward_length": 96,
    "clip.vision.block_count": 4,
    "clip.vision.attention.head_count": 4,
    "clip.vision.attention.layer_norm_epsilon": 1e-6,
    "clip.vision.projection_dim": 64,
    "clip.vision.image_mean": (0.5, 0.5, 0.5),
    "clip.vision.image_std": (0.5, 0.5, 0.5),
    "clip.vision.n_wa_pattern": 2,
}


def vision(changes: Mapping[str, Value], limits: TokenLimits | None = None) -> Vision:
    metadata = Metadata(KEYS | {f"clip.vision.{key}": value for key, value in changes.items()})
    return build_vision(GGUFFile(Path("mmproj.gguf"), metadata, {}), limits or TokenLimits())[0]


def vit(changes: Mapping[str, Value]) -> ViTSpec:
    tower = vision(changes).tower
    assert isinstance(tower, QwenTower)
    return tower.v.spec


def floats(name: str, *values: float) -> PackedTensor:
    return PackedTensor(name, (len(values),), GGMLType.F32, torch.tensor(values, dtype=torch.float32).view(torch.uint8))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"spatial_merge_size": 0}, "spatial_merge_size is 0"),
        ({"spatial_merge_size": 99}, "spatial_merge_size is 99"),
        ({"patch_size": 64}, "a token of 128 pixels does not fit into a window of 112"),
        ({"attention.head_count": 3}, "3 heads share 64 values"),
        ({"attention.head_count": 32}, "32 heads share 64 values"),  # heads of 2 cannot turn by two axes
    ],
)
def test_odd_sizes_are_named(changes: dict[str, Value], found: str) -> None:
    with pytest.raises(GGUFError, match=found):
        vision(changes)


@pytest.mark.parametrize(
    ("patch", "merge", "window"),
    [
        (14, 2, 8),  # four tokens of 28 pixels
        (16, 2, 6),  # 112 pixels hold three tokens of 32 and a rest
        (14, 4, 8),
    ],
)
def test_a_window_holds_whole_tokens(patch: int, merge: int, window: int) -> None:
    spec = vit({"patch_size": patch, "spatial_merge_size": merge})
    assert (spec.window, spec.windowed) == (window, frozenset({0, 2}))


def test_no_period_means_no_windows() -> None:
    assert not vit({"n_wa_pattern": 0}).windowed


@pytest.mark.parametrize(
    ("limits", "image", "tokens"),
    [
        (TokenLimits(), Size(280, 140), Size(10, 5)),
        (TokenLimits(), Size(28, 28), Size(3, 3)),  # no less than 8
        (TokenLimits(most=16), Size(2800, 2800), Size(4, 4)),
        (TokenLimits(least=1024), Size(280, 280), Size(32, 32)),
    ],
)
def test_images_keep_their_size_within_the_limits(limits: TokenLimits, image: Size, tokens: Size) -> None:
    found = vision({}, limits)
    (piece,) = found.slicing.plan(image).slices
    assert found.family.tokens(found.config, piece.size) == tokens


@pytest.mark.parametrize(("least", "told"), [(None, True), (64, True), (1023, True), (1024, False), (2048, False)])
def test_the_user_is_told_when_images_may_be_too_coarse(least: int | None, told: bool) -> None:
    advice = vision({}, TokenLimits(least=least)).advice
    assert (advice is not None and "--image-min-tokens 1024" in advice) is told


def test_a_still_image_stands_for_both_frames() -> None:
    first, second = floats("v.patch_embd.weight", 1, 2), floats("v.patch_embd.weight.1", 10, 20)
    tensors = {tensor.name: tensor for tensor in (first, second)}
    join_frames(tensors)
    assert list(tensors) == [first.name]
    assert tensors[first.name].dequantise().tolist() == [11, 22]


def test_frames_of_different_shapes_are_left_for_the_loader_to_refuse() -> None:
    tensors = {
        tensor.name: tensor for tensor in (floats("v.patch_embd.weight", 1), floats("v.patch_embd.weight.1", 1, 2))
    }
    join_frames(tensors)
    assert len(tensors) == 2
