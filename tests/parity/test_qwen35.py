"""Qwen 3.5, dense and with experts, computes what transformers computes on the same weights, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen3_5ForCausalLM, Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig, Qwen3_5TextConfig

from mtmd_cli.nn.delta_net import CHUNK
from tests.parity.pair import Value, assert_same_decoder, randomise, write_language

KEY_HEADS, KEY, VALUE, KERNEL, BASE = 2, 8, 12, 4, 5000.0
TOKENS = 2 * CHUNK + 22  # read in thirds, each of which ends within a chunk

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "linear_key_head_dim": KEY,
    "linear_value_head_dim": VALUE,
    "linear_num_key_heads": KEY_HEADS,
    "linear_conv_kernel_dim": KERNEL,
    "rope_parameters": {
        "rope_theta": BASE,
        "rope_type": "default",
        "partial_rotary_factor": 0.5,
        "mrope_section": [2, 1, 1],
    },
    "attn_implementation": "eager",
}


def keys(heads: int) -> dict[str, Value]:
    return {
        "rope.freq_base": BASE,
        "rope.dimension_count": 8,
        "rope.dimension_sections": [2, 1, 1, 0],
        "ssm.conv_kernel": KERNEL,
        "ssm.state_size": KEY,
        "ssm.group_count": KEY_HEADS,
        "ssm.time_step_rank": heads,
        "ssm.inner_size": heads * VALUE,
    }


def by_turns(tensor: Tensor, axis: int, heads: int) -> Tensor:
    """The converter's order of value heads: the first of each key head, then the second of each."""
    grouped = tensor.unflatten(axis, (KEY_HEADS, heads // KEY_HEADS, -1))
    return grouped.transpose(axis, axis + 1).flatten(axis, axis + 2)


def as_converted(heads: int, name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What conversion/qwen.py does to one tensor of the checkpoint."""
    part = name.rpartition("linear_attn.")[2] if "linear_attn." in name else ""
    keys_and_queries = 2 * KEY_HEADS * KEY
    match part:
        case "A_log":
            yield name, by_turns(-tensor.exp(), 0, heads)
        case "dt_bias":
            yield name.replace("dt_bias", "dt_proj.bias"), by_turns(tensor, 0, heads)
        case "conv1d.weight":
            kernel = tensor.squeeze(1)
            yield name, torch.cat((kernel[:keys_and_queries], by_turns(kernel[keys_and_queries:], 0, heads)))
        case "in_proj_qkv.weight":
            yield name, torch.cat((tensor[:keys_and_queries], by_turns(tensor[keys_and_queries:], 0, heads)))
        case "in_proj_z.weight" | "in_proj_a.weight" | "in_proj_b.weight":
            yield name, by_turns(tensor, 0, heads)
        case "out_proj.weight":
            yield name, by_turns(tensor, 1, heads)
        case "" if name.endswith("norm.weight"):
            yield name, tensor + 1
        case "" if name.endswith("experts.gate_up_proj"):
            for half, rows in zip(("gate", "up"), tensor.chunk(2, dim=1), strict=True):
                yield name.replace("gate_up_proj", f"{half}_proj.weight"), rows
        case "" if name.endswith("experts.down_proj"):
            yield f"{name}.weight", tensor
        case "" if name.endswith("shared_expert_gate.weight"):
            yield name, tensor[0]
        case _:
            yield name, tensor


def remembering(model: Any) -> Any:
    """Random weights, with the slow decays of a trained model: with fast ones no token outlives a chunk."""
    randomise(model)
    for name, parameter in model.named_parameters():
        if name.endswith("A_log"):
            parameter.data.copy_(torch.linspace(-6, -2, len(parameter)))
    return model


@pytest.mark.parametrize("heads", [2, 6], ids=["a value head for each key head", "three"])
def test_dense(heads: int, tmp_path: Path) -> None:
    config = Qwen3_5TextConfig(**SIZES, intermediate_size=48, linear_num_value_heads=heads)
    model = remembering(Qwen3_5ForCausalLM(config))
    path = write_language(tmp_path, "qwen35", model, keys(heads), prepare=lambda *part: as_converted(heads, *part))
    assert_same_decoder(path, model, tokens=TOKENS)


def test_experts(tmp_path: Path) -> None:
    config = Qwen3_5MoeTextConfig(
        **SIZES,
        linear_num_value_heads=4,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=20,
        num_experts=6,
        num_experts_per_tok=2,
    )
    config.intermediate_size = 0  # of no layer
    model = remembering(Qwen3_5MoeForCausalLM(config))
    said: dict[str, Value] = {
        **keys(4),
        "attention.recurrent_layers": [True, True, True, False, True],
        "expert_count": 6,
        "expert_used_count": 2,
        "expert_feed_forward_length": 24,
        "expert_shared_feed_forward_length": 20,
    }
    path = write_language(tmp_path, "qwen35moe", model, said, prepare=lambda *part: as_converted(4, *part))
    assert_same_decoder(path, model, tokens=TOKENS)
