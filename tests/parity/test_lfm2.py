"""LFM2 and LFM2-VL compute what transformers computes on the same weights, pixels and tokens, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Lfm2Config, Lfm2ForCausalLM, Lfm2MoeConfig, Lfm2MoeForCausalLM, Lfm2VlConfig
from transformers.models.lfm2_vl.modeling_lfm2_vl import Lfm2VlModel
from transformers.models.siglip2.configuration_siglip2 import Siglip2VisionConfig

from tests.parity.pair import Value, assert_same_decoder, assert_same_tower, randomise, write_language, write_tower
from tests.parity.tiny import IMAGE, LANGUAGE_WIDTH, METADATA, PATCH, SIZES, WIDTH, by_squares, some_pixels, under

MERGE = 2
TEXT: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "norm_eps": 1e-5,
    "attn_implementation": "eager",
    "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
}
KEYS: dict[str, Value] = {"rope.freq_base": 5000.0, "attention.head_count_kv": [0, 2, 0, 2]}


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("grid", [(IMAGE // PATCH, IMAGE // PATCH), (4, 10), (12, 8)])
@torch.inference_mode()
def test_tower(grid: tuple[int, int], normed: bool, tmp_path: Path) -> None:
    trained = {**SIZES, "num_patches": (IMAGE // PATCH) ** 2}
    del trained["image_size"]
    config = Lfm2VlConfig(
        vision_config=Siglip2VisionConfig(**trained, vision_use_head=False),
        text_config=Lfm2Config(**{**TEXT, "hidden_size": LANGUAGE_WIDTH}),
        downsample_factor=MERGE,
        projector_hidden_size=40,
        projector_hidden_act="gelu_pytorch_tanh",
        projector_use_layernorm=normed,
    )
    model = randomise(Lfm2VlModel(config))
    pixels = some_pixels(1, grid[0] * PATCH, grid[1] * PATCH)
    patches, sizes = by_squares(pixels, 1)
    rows = patches.squeeze(2).permute(0, 2, 3, 1).flatten(1)[None]
    (expected,) = model.get_image_features(rows, sizes[:, 1:], torch.ones(1, rows.shape[1]).int()).pooler_output

    def as_kernel(name: str, tensor: Tensor) -> Tensor:
        folded = tensor.view(WIDTH, PATCH, PATCH, 3).permute(0, 3, 1, 2) if name == "v.patch_embd.weight" else tensor
        return folded.contiguous()

    tensors = under("vision_tower.vision_model", model.vision_tower)
    tensors = [(name.replace("vision_model.vision_model", "vision_model"), tensor) for name, tensor in tensors]
    tensors += under("multi_modal_projector", model.multi_modal_projector)
    path = write_tower(tmp_path, "lfm2", tensors, {**METADATA, "projector.scale_factor": MERGE}, change=as_kernel)
    assert_same_tower(path, pixels, expected[None])


def flat_kernel(name: str, tensor: Tensor) -> Tensor:
    return tensor.squeeze(1) if "shortconv.conv" in name else tensor


def with_sizes(model: Any) -> Any:
    """The configuration says these in other words."""
    config = randomise(model).config
    config.rms_norm_eps, config.head_dim = config.norm_eps, config.hidden_size // config.num_attention_heads
    return model


@pytest.mark.parametrize("length", [2, 3, 5])
def test_text(length: int, tmp_path: Path) -> None:
    model = with_sizes(Lfm2ForCausalLM(Lfm2Config(**TEXT, block_auto_adjust_ff_dim=False, conv_L_cache=length)))
    keys: dict[str, Value] = {**KEYS, "shortconv.l_cache": length}
    assert_same_decoder(write_language(tmp_path, "lfm2", model, keys, change=flat_kernel), model)


def split_experts(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name.endswith("experts.gate_up_proj"):
        for part, half in zip(("w1", "w3"), tensor.chunk(2, dim=1), strict=True):
            yield name.removeprefix("model.").replace("gate_up_proj", f"{part}.weight"), half
    elif name.endswith("experts.down_proj"):
        yield name.removeprefix("model.").replace("down_proj", "w2.weight"), tensor
    else:
        yield f"{name}.bias" if name.endswith("expert_bias") else name, tensor


def test_text_with_experts(tmp_path: Path) -> None:
    config = Lfm2MoeConfig(
        **TEXT, moe_intermediate_size=24, num_dense_layers=1, num_experts=6, num_experts_per_tok=2, conv_L_cache=3
    )
    model = with_sizes(Lfm2MoeForCausalLM(config))
    for layer in model.model.layers[1:]:
        layer.feed_forward.expert_bias.copy_(torch.linspace(-0.2, 0.2, 6))
    keys: dict[str, Value] = {
        **KEYS,
        "shortconv.l_cache": 3,
        "leading_dense_block_count": 1,
        "expert_count": 6,
        "expert_used_count": 2,
        "expert_feed_forward_length": 24,
        "expert_gating_func": 2,
    }
    path = write_language(tmp_path, "lfm2moe", model, keys, change=flat_kernel, prepare=split_experts)
    assert_same_decoder(path, model)
