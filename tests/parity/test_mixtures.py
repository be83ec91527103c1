"""Mixtures of experts compute what transformers computes on the same weights, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from mtmd_cli.language.families import llama4
from tests.parity.pair import Value, assert_same_decoder, paired, randomise, write_language

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "attn_implementation": "eager",
    "tie_word_embeddings": False,
}
BASE = 5000.0
PLAIN, TURNED, VALUE, RANK = 12, 8, 10, 16
Parts = Iterator[tuple[str, Tensor]]


def test_mixtral_is_a_llama_with_experts(tmp_path: Path) -> None:
    config = MixtralConfig(
        **SIZES,
        num_local_experts=6,
        num_experts_per_tok=2,
        rope_parameters={"rope_theta": BASE, "rope_type": "default"},
    )
    model = randomise(MixtralForCausalLM(config))
    keys: dict[str, Value] = {"rope.freq_base": BASE, "expert_count": 6, "expert_used_count": 2}

    def pairs(name: str, tensor: Tensor) -> Tensor:
        return paired(name, tensor, {"attn_q": 4, "attn_k": 2})

    path = write_language(tmp_path, "llama", model, keys, change=pairs, prepare=split_mixtral)
    assert_same_decoder(path, model)


def split_experts(name: str, tensor: Tensor) -> Parts:
    """The checkpoints hold one matrix after another, which the converter stacks; transformers stacks gate on up."""
    if name.endswith("experts.gate_up_proj"):
        gate, up = tensor.chunk(2, dim=1)
        yield name.replace("gate_up", "gate") + ".weight", gate
        yield name.replace("gate_up", "up") + ".weight", up
    else:
        yield f"{name}.weight" if name.endswith("experts.down_proj") else name, tensor


def split_mixtral(name: str, tensor: Tensor) -> Parts:
    """Its checkpoint calls the mixture by another name than its module."""
    name = name.replace("mlp.gate.", "block_sparse_moe.gate.")
    yield from split_experts(name, tensor)


def test_qwen3_moe(tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        **SIZES,
        num_experts=6,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        norm_topk_prob=True,
        rope_parameters={"rope_theta": BASE, "rope_type": "default"},
    )
    model = randomise(Qwen3MoeForCausalLM(config))
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "expert_count": 6,
        "expert_used_count": 2,
        "expert_feed_forward_length": 24,
    }
    assert_same_decoder(write_language(tmp_path, "qwen3moe", model, keys, prepare=split_experts), model)


def latent(**more: Any) -> dict[str, Any]:
    return {
        **SIZES,
        "num_key_value_heads": 4,
        "kv_lora_rank": RANK,
        "qk_nope_head_dim": PLAIN,
        "qk_rope_head_dim": TURNED,
        "v_head_dim": VALUE,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 24,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "routed_scaling_factor": 2.5,
        **more,
    }


LATENT_KEYS: dict[str, Value] = {
    "rope.freq_base": BASE,
    "rope.dimension_count": TURNED,
    "attention.kv_lora_rank": RANK,
    "leading_dense_block_count": 1,
    "expert_count": 8,
    "expert_used_count": 3,
    "expert_shared_count": 2,
    "expert_feed_forward_length": 24,
    "expert_weights_scale": 2.5,
}
OF_HEADS_THAT_ARE_NEVER_MADE: dict[str, Value] = {
    "attention.key_length": RANK + TURNED,
    "attention.value_length": RANK,
    "attention.key_length_mla": PLAIN + TURNED,
    "attention.value_length_mla": VALUE,
}


def split_heads(name: str, tensor: Tensor) -> Parts:
    """From keys and values in one matrix to one matrix a head for each."""
    if "kv_b_proj" in name:
        keys, values = tensor.unflatten(0, (4, -1)).split((PLAIN, VALUE), dim=1)
        yield name.replace("kv_b", "k_b"), keys.transpose(1, 2)
        yield name.replace("kv_b", "v_b"), values
    else:
        yield from split_experts(name.replace("e_score_correction_bias", "e_score_correction.bias"), tensor)


@pytest.mark.parametrize(
    ("rope", "metadata"),
    [
        ({"rope_type": "default"}, {}),
        (
            {
                "rope_type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 32,
                "mscale": 0.707,
                "mscale_all_dim": 0.707,
            },
            {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": 8.0,
                "rope.scaling.original_context_length": 32,
                "rope.scaling.yarn_log_multiplier": 0.0707,
            },
        ),
    ],
    ids=["default", "yarn"],
)
@pytest.mark.parametrize("query_rank", [None, 20], ids=["queries", "queries by a latent vector"])
def test_deepseek_3(rope: dict[str, Any], metadata: dict[str, Value], query_rank: int | None, tmp_path: Path) -> None:
    sizes = latent(q_lora_rank=query_rank, n_group=4, topk_group=2, num_mtp_layers=0)
    model = randomise(DeepseekV3ForCausalLM(DeepseekV3Config(**sizes, rope_parameters={"rope_theta": BASE, **rope})))
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(torch.randn(8, generator=torch.Generator().manual_seed(5)) * 0.3)
    keys: dict[str, Value] = {
        **LATENT_KEYS,
        **OF_HEADS_THAT_ARE_NEVER_MADE,
        "expert_gating_func": 2,
        "expert_weights_norm": True,
        "expert_group_count": 4,
        "expert_group_used_count": 2,
        **({"attention.q_lora_rank": query_rank} if query_rank else {}),
        **metadata,
    }
    assert_same_decoder(write_language(tmp_path, "deepseek2", model, keys, prepare=split_heads), model)


def test_deepseek_2_from_an_old_file(tmp_path: Path) -> None:
    sizes = latent(q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1)
    rope = {"rope_theta": BASE, "rope_type": "default"}
    model = randomise(DeepseekV2ForCausalLM(DeepseekV2Config(**sizes, rope_parameters=rope)))
    keys: dict[str, Value] = {
        **LATENT_KEYS,
        "attention.key_length": PLAIN + TURNED,
        "attention.value_length": VALUE,
    }
    assert_same_decoder(write_language(tmp_path, "deepseek2", model, keys, prepare=split_experts), model)


@pytest.mark.parametrize("experts", [4, 128], ids=["unit heads", "plain heads"])
def test_llama_4(experts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five layers, chunked and turned but for the fourth; every other one a mixture. Chunks made short for the test."""
    chunk = 16
    monkeypatch.setattr(llama4, "CHUNK", chunk)
    config = Llama4TextConfig(
        **{**SIZES, "num_hidden_layers": 5},
        intermediate_size_mlp=40,
        num_local_experts=experts,
        num_experts_per_tok=1,
        interleave_moe_layer_step=2,
        use_qk_norm=experts != 128,
        attention_chunk_size=chunk,
        floor_scale=chunk,
        rope_parameters={"rope_theta": BASE, "rope_type": "default"},
    )
    model = randomise(Llama4ForCausalLM(config))
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "rope.dimension_count": 8,
        "feed_forward_length": 40,
        "expert_feed_forward_length": 48,
        "expert_count": experts,
        "expert_used_count": 1,
        "interleave_moe_layer_step": 2,
    }
    assert_same_decoder(write_language(tmp_path, "llama4", model, keys, prepare=turn_experts), model)


def turn_experts(name: str, tensor: Tensor) -> Parts:
    """Llama 4 holds its experts as (columns, rows), gate and up in one."""
    if name.endswith("experts.gate_up_proj"):
        gate, up = tensor.transpose(1, 2).chunk(2, dim=1)
        yield name.replace("gate_up", "gate") + ".weight", gate
        yield name.replace("gate_up", "up") + ".weight", up
    elif name.endswith("experts.down_proj"):
        yield f"{name}.weight", tensor.transpose(1, 2)
    else:
        yield name, tensor
