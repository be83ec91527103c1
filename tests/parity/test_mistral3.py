"""Mistral 3 computes what transformers computes on the same weights, in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor
from transformers import Ministral3Config, Ministral3ForCausalLM

from tests.parity.pair import Value, assert_same_decoder, paired, randomise, write_language

BASE, ORIGINAL, FACTOR = 5000.0, 16, 4.0


@pytest.mark.parametrize("beta", [0.5, 0.0])
def test_mistral3_grows_sharper_with_the_context(beta: float, tmp_path: Path) -> None:
    config = Ministral3Config(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        attn_implementation="eager",
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": BASE,
            "factor": FACTOR,
            "original_max_position_embeddings": ORIGINAL,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": beta,
        },
    )
    model = randomise(Ministral3ForCausalLM(config))
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": FACTOR,
        "rope.scaling.original_context_length": ORIGINAL,
        "rope.scaling.yarn_log_multiplier": 1.0,
        "attention.temperature_scale": beta,
    }

    def pairs(name: str, tensor: Tensor) -> Tensor:
        return paired(name, tensor, {"attn_q": 4, "attn_k": 2})

    assert_same_decoder(write_language(tmp_path, "mistral3", model, keys, change=pairs), model)
