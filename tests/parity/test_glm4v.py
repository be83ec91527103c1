"""GLM-4V computes what transformers computes on the same weights, pixels and tokens, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Glm4Config, Glm4ForCausalLM
from transformers.models.glm4v.configuration_glm4v import Glm4vVisionConfig
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

from tests.parity.pair import Value, assert_same_decoder, assert_same_tower, randomise, write_language, write_tower
from tests.parity.tiny import BLOCKS, HEADS, HIDDEN, LANGUAGE_WIDTH, METADATA, PATCH, WIDTH, by_squares, some_pixels

EPS, TRAINED, MERGE = 1e-5, 6, 2


def converted(tower: Glm4vVisionModel) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tower.state_dict().items():
        if name != "patch_embed.proj.weight":
            yield f"visual.{name}", tensor


@pytest.mark.parametrize("grid", [(6, 6), (4, 10), (12, 8)])
@torch.inference_mode()
def test_tower(grid: tuple[int, int], tmp_path: Path) -> None:
    config = Glm4vVisionConfig(
        depth=BLOCKS,
        hidden_size=WIDTH,
        num_heads=HEADS,
        image_size=TRAINED * PATCH,
        patch_size=PATCH,
        out_hidden_size=LANGUAGE_WIDTH,
        intermediate_size=HIDDEN,
        rms_norm_eps=EPS,
        spatial_merge_size=MERGE,
        attn_implementation="eager",
    )
    tower = randomise(Glm4vVisionModel(config))
    frames = tower.patch_embed.proj.weight.unbind(2)
    path = write_tower(
        tmp_path,
        "glm4v",
        converted(tower),
        {**METADATA, "attention.layer_norm_epsilon": EPS},
        extra={"v.patch_embd.weight": frames[0], "v.patch_embd.weight.1": frames[1]},
        activation="silu",
    )
    pixels = some_pixels(1, grid[0] * PATCH, grid[1] * PATCH)
    patches, sizes = by_squares(pixels, MERGE)
    assert_same_tower(path, pixels, tower(patches.repeat(1, 1, 2, 1, 1).flatten(1), sizes).pooler_output[None])


SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "attn_implementation": "eager",
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "attention_bias": True,
}
BASE = 5000.0


def halves(name: str, tensor: Tensor) -> Tensor:
    """For M-RoPE the converter moves the turned half of each head from neighbouring pairs to halves."""
    if ".attn_q." not in name and ".attn_k." not in name:
        return tensor
    heads = tensor.unflatten(0, (-1, 16))
    turned = heads[:, :8].unflatten(1, (4, 2)).transpose(1, 2).flatten(1, 2)
    return torch.cat((turned, heads[:, 8:]), dim=1).reshape(tensor.shape)


@pytest.mark.parametrize("sections", [[], [1, 1, 2, 0]])
def test_text(sections: list[int], tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": BASE, "partial_rotary_factor": 0.5}
    model = randomise(Glm4ForCausalLM(Glm4Config(**SIZES, rope_parameters=rope)))
    keys: dict[str, Value] = {"rope.freq_base": BASE, "rope.dimension_count": 8}
    keys |= {"rope.dimension_sections": sections} if sections else {}
    assert_same_decoder(write_language(tmp_path, "glm4", model, keys, change=halves if sections else None), model)


def test_layers_that_guess_ahead_are_left_aside(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": BASE, "partial_rotary_factor": 0.5}
    model = randomise(Glm4ForCausalLM(Glm4Config(**SIZES, rope_parameters=rope)))
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "rope.dimension_count": 8,
        "block_count": 3,
        "nextn_predict_layers": 1,
    }
    extra = {"blk.2.attn_norm.weight": torch.ones(32), "blk.2.nextn.enorm.weight": torch.ones(32)}
    assert_same_decoder(write_language(tmp_path, "glm4", model, keys, extra=extra), model)
