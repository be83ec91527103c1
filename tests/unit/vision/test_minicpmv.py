"""MiniCPM-V: what the version in the file decides."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.errors import GGUFError, MtmdError, UnsupportedModel
from mtmd_cli.gguf import Metadata
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.image.plan import Slice
from mtmd_cli.image.size import Size
from mtmd_cli.nn.patches import Positions, Resample
from mtmd_cli.vision.config import TokenLimits, VisionConfig
from mtmd_cli.vision.families.minicpmv import MINICPMV
from mtmd_cli.vision.markers import Markers

BASE: dict[str, Value] = {
    "clip.vision.image_size": 28,
    "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 32,
    "clip.vision.feed_forward_length": 64,
    "clip.vision.block_count": 1,
    "clip.vision.attention.head_count": 2,
    "clip.vision.attention.layer_norm_epsilon": 1e-6,
    "clip.vision.image_mean": (0.5, 0.5, 0.5),
    "clip.vision.image_std": (0.5, 0.5, 0.5),
}


def config(**keys: int) -> VisionConfig:
    return VisionConfig.from_metadata(Metadata(BASE | {f"clip.{key}": n for key, n in keys.items()}), TokenLimits())


def prompt(version: int, image: Size) -> str:
    """The marks around an image; I for each slice."""
    assert not isinstance(MINICPMV.markers, Markers)
    own = config(minicpmv_version=version)
    parts = MINICPMV.markers(own).arrange(MINICPMV.slicing(own).plan(image))
    return "".join("I" if isinstance(part, Slice) else part for part in parts)


@pytest.mark.parametrize(
    ("version", "image", "expected"),
    [
        (3, Size(20, 20), "<image>I</image>"),
        (3, Size(56, 28), "<image>I</image><slice>I</slice><slice>I</slice>"),
        (6, Size(28, 56), "<image>I</image><slice>I</slice>\n<slice>I</slice>"),
        (2, Size(20, 20), "<image>I</image>"),
        (2, Size(28, 56), "<image>I</image><slice><image>I</image>\n<image>I</image></slice>"),
        (0, Size(56, 28), "<image>I</image><slice><image>I</image><image>I</image></slice>"),
    ],
)
def test_markers_follow_the_version(version: int, image: Size, expected: str) -> None:
    assert prompt(version, image) == expected


@pytest.mark.parametrize(
    ("keys", "tokens"),
    [
        ({"minicpmv_version": 2}, 96),
        ({"minicpmv_version": 3}, 64),
        ({"minicpmv_version": 100045}, 64),
        ({"minicpmv_version": 3, "minicpmv_query_num": 80}, 80),
    ],
)
def test_tokens_of_a_slice(keys: dict[str, int], tokens: int) -> None:
    assert MINICPMV.tokens(config(**keys), Size(28, 28)).area == tokens


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"minicpmv_version": 7}, UnsupportedModel),
        ({"minicpmv_version": 3, "minicpmv_query_num": 1 << 30}, GGUFError),
        ({"minicpmv_version": 3, "minicpmv_query_num": -1}, GGUFError),
    ],
)
def test_odd_files_are_refused(keys: dict[str, int], error: type[MtmdError]) -> None:
    with pytest.raises(error):
        MINICPMV.tokens(config(**keys), Size(28, 28))


def test_a_patch_takes_the_place_at_its_share_of_the_edge() -> None:
    table = Positions(16, 1, Resample.NEAREST)
    table.weight.data = torch.arange(16.0)[:, None]
    assert table(2, 3).flatten().tolist() == [0, 1, 2, 8, 9, 10]
    assert table(8, 1).flatten().tolist() == [0, 0, 4, 4, 8, 8, 12, 12]
