"""The tower of dots.ocr computes what transformers computes for its sibling on the same weights and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers.models.dots3_note.configuration_dots3_note import Dots3NoteVisionConfig
from transformers.models.dots3_note.modeling_dots3_note import Dots3NoteVisionModel

from tests.parity.pair import Value, assert_same_tower, randomise, write_tower
from tests.parity.tiny import BLOCKS, HEADS, HIDDEN, LANGUAGE_WIDTH, METADATA, PATCH, WIDTH, by_squares, some_pixels

EPS, MERGE = 1e-5, 2


def converted(tower: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tower.state_dict().items():
        name = name.replace("patch_embed.", "patch_embed.patchifier.")
        if ".mlp." in name and name.startswith("blocks."):
            yield f"visual.{name}", tensor
        else:
            yield "vision_tower." + ("post_trunk_norm.weight" if name == "norm.weight" else name), tensor


@pytest.mark.parametrize("grid", [(2, 2), (4, 10), (12, 8)])
@torch.inference_mode()
def test_tower(grid: tuple[int, int], tmp_path: Path) -> None:
    config = Dots3NoteVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        patch_size=PATCH,
        spatial_merge_size=MERGE,
        rms_norm_eps=EPS,
        mlp_layer_types=["dense"] * BLOCKS,
        adapter_in_dim=WIDTH,
        adapter_out_dim=LANGUAGE_WIDTH,
        adapter_merge_size=MERGE,
        attn_implementation="eager",
    )
    tower = randomise(Dots3NoteVisionModel(config))
    for block in tower.blocks:  # what the sibling has more
        block.attn.q_norm = block.attn.k_norm = nn.Identity()
    keys: dict[str, Value] = {
        **METADATA,
        "image_size": 0,
        "attention.layer_norm_epsilon": EPS,
        "projector.scale_factor": MERGE,
        "image_min_pixels": 1,
        "image_max_pixels": 1 << 20,
    }
    path = write_tower(tmp_path, "dots_ocr", converted(tower), keys, activation="silu")
    pixels = some_pixels(1, grid[0] * PATCH, grid[1] * PATCH)
    patches, sizes = by_squares(pixels, MERGE)
    assert_same_tower(path, pixels, tower(patches.flatten(1), sizes).pooler_output[None])
