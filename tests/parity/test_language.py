"""Language models compute what transformers computes on the same weights, in float32."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.parity.pair import Value, assert_same_decoder, paired, randomise, write_language

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "attn_implementation": "eager",
}
BASE = 5000.0


def pairs_of_llama(name: str, tensor: Tensor) -> Tensor:
    return paired(name, tensor, {"attn_q": 4, "attn_k": 2})


def llama3_divisors(factor: float, low: float, high: float, original: int, dims: int) -> Tensor:
    """`rope_freqs.weight`, by the converter's rule: slow frequencies are divided, fast ones are not."""
    turns = original / (2 * math.pi) * BASE ** (-torch.arange(0, dims, 2) / dims)
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


@pytest.mark.parametrize(
    ("rope", "metadata"),
    [
        ({"rope_type": "default"}, {}),
        ({"rope_type": "linear", "factor": 4.0}, {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
        (
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
            {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": 4.0,
                "rope.scaling.original_context_length": 512,
            },
        ),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            {},
        ),
    ],
    ids=["default", "linear", "yarn", "llama3"],
)
def test_llama(rope: dict[str, Any], metadata: dict[str, Value], tmp_path: Path) -> None:
    sizes = {**SIZES, "head_dim": 32}  # enough pairs that yarn keeps some, divides some, and mixes between them
    config = LlamaConfig(**sizes, tie_word_embeddings=False, rope_parameters={"rope_theta": BASE, **rope})
    model = randomise(LlamaForCausalLM(config))
    by_file = {"rope_freqs.weight": llama3_divisors(8.0, 1.0, 4.0, 64, 32)} if rope["rope_type"] == "llama3" else None
    keys = {"rope.freq_base": BASE, "rope.dimension_count": 32, **metadata}
    assert_same_decoder(write_language(tmp_path, "llama", model, keys, change=pairs_of_llama, extra=by_file), model)


def test_llama_with_biases(tmp_path: Path) -> None:
    config = LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, rope_parameters={"rope_theta": BASE})
    model = randomise(LlamaForCausalLM(config))
    keys: dict[str, Value] = {"rope.freq_base": BASE}
    assert_same_decoder(write_language(tmp_path, "llama", model, keys, change=pairs_of_llama), model)


@pytest.mark.parametrize("tied", [True, False])
def test_qwen2(tied: bool, tmp_path: Path) -> None:
    config = Qwen2Config(**SIZES, tie_word_embeddings=tied, rope_parameters={"rope_theta": BASE})
    model = randomise(Qwen2ForCausalLM(config))
    config.head_dim = config.hidden_size // config.num_attention_heads
    assert_same_decoder(write_language(tmp_path, "qwen2", model, {"rope.freq_base": BASE}), model)


def test_qwen3(tmp_path: Path) -> None:
    sizes = {**SIZES, "head_dim": 16}  # heads wider than width / heads
    config = Qwen3Config(**sizes, tie_word_embeddings=False, rope_parameters={"rope_theta": BASE})
    model = randomise(Qwen3ForCausalLM(config))
    assert_same_decoder(write_language(tmp_path, "qwen3", model, {"rope.freq_base": BASE}), model)


def test_gemma3_with_windows_and_two_ropes(tmp_path: Path) -> None:
    config = Gemma3TextConfig(
        **{**SIZES, "num_hidden_layers": 7, "head_dim": 16},
        sliding_window=8,
        query_pre_attn_scalar=16,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": BASE},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    )
    assert config.layer_types.index("full_attention") == 5, "five with a window to one without"
    model = randomise(Gemma3ForCausalLM(config))
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "rope.freq_base_swa": 100.0,
        "rope.scaling.type": "linear",
        "rope.scaling.factor": 8.0,
        "attention.sliding_window": 8,
    }

    def add_one_to_norms(name: str, tensor: Tensor) -> Tensor:
        return tensor + 1 if name.endswith("norm.weight") else tensor

    assert_same_decoder(write_language(tmp_path, "gemma3", model, keys, change=add_one_to_norms), model)
