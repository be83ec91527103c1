"""MiniCPM's language model is Granite's with other names for the factors, so transformers' Granite proves it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import GraniteConfig, GraniteForCausalLM

from tests.parity.pair import Value, assert_same_decoder, load_decoder, paired, randomise, write_language

WIDTH, LAYERS, HEAD, BASE = 32, 2, 8, 5000.0


def granite(embedding: float, residual: float, divisor: float) -> GraniteForCausalLM:
    config = GraniteConfig(
        vocab_size=96,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": BASE},
        embedding_multiplier=embedding,
        residual_multiplier=residual,
        logits_scaling=divisor,
        attention_multiplier=HEAD**-0.5,
        attn_implementation="eager",
    )
    model = randomise(GraniteForCausalLM(config))
    model.config.head_dim = HEAD
    return model


def pairs(name: str, tensor: Tensor) -> Tensor:
    return paired(name, tensor, {"attn_q": 4, "attn_k": 2})


def test_the_factors_of_the_file(tmp_path: Path) -> None:
    keys: dict[str, Value] = {
        "rope.freq_base": BASE,
        "embedding_scale": 3.0,
        "residual_scale": 0.4,
        "logit_scale": 2.5,
    }
    model = granite(3.0, 0.4, 2.5)
    assert_same_decoder(write_language(tmp_path, "minicpm", model, keys, change=pairs), model)


def test_old_files_mean_the_factors_of_the_first_model(tmp_path: Path) -> None:
    model = granite(12.0, 1.4 / LAYERS**0.5, WIDTH / 256)
    path = write_language(tmp_path, "minicpm", model, {"rope.freq_base": BASE}, change=pairs)
    assert_same_decoder(path, model)


@torch.inference_mode()
def test_images_are_scaled_as_tokens_are(tmp_path: Path) -> None:
    path = write_language(tmp_path, "minicpm", granite(12.0, 1.0, 1.0), {}, change=pairs)
    assert load_decoder(path).embed_image(torch.ones(1, WIDTH)).unique().tolist() == [12.0]
