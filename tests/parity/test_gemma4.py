"""Gemma 4's tower and its language models of three kinds compute what transformers computes, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma4ForCausalLM, Gemma4TextConfig, Gemma4VisionConfig, Gemma4VisionModel
from transformers.models.gemma4.modeling_gemma4 import Gemma4MultimodalEmbedder

from tests.parity.pair import (
    Value,
    assert_same_decoder,
    assert_same_tower,
    load_decoder,
    randomise,
    write_language,
    write_tower,
)

WINDOW, HEAD, FULL_HEAD, EACH, EXPERTS = 8, 8, 16, 6, 6
SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "vocab_size_per_layer_input": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": HEAD,
    "global_head_dim": FULL_HEAD,
    "max_position_embeddings": 256,
    "sliding_window": WINDOW,
    "final_logit_softcapping": 30.0,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 5000.0},
    },
    "attn_implementation": "eager",
}
DENSE: dict[str, Any] = {
    "num_hidden_layers": 6,
    "hidden_size_per_layer_input": 0,
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
}
EFFECTIVE: dict[str, Any] = {
    "num_hidden_layers": 6,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
    "hidden_size_per_layer_input": EACH,
    "num_kv_shared_layers": 3,
    "use_double_wide_mlp": True,
}
MIXTURE: dict[str, Any] = {
    **DENSE,
    "enable_moe_block": True,
    "num_experts": EXPERTS,
    "top_k_experts": 2,
    "moe_intermediate_size": 20,
}


def a_model(kind: dict[str, Any]) -> Any:
    model = randomise(Gemma4ForCausalLM(Gemma4TextConfig(**{**SIZES, **kind})))
    for index, layer in enumerate(model.model.layers):
        layer.layer_scalar.fill_(0.7 + index / 10)
    return model


def named(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What the converter names anew; the scales of a router are named by hand."""
    if not name.endswith(("router.scale", "per_expert_scale")):
        whole = name.endswith(("layer_scalar", "experts.gate_up_proj", "experts.down_proj"))
        yield (f"{name}.weight" if whole else name), tensor


def file_of(folder: Path, model: Any, *, extra: dict[str, Tensor] | None = None) -> Path:
    config, layers = model.config, model.config.num_hidden_layers
    slides = [kind == "sliding_attention" for kind in config.layer_types]
    full_heads = config.per_layer_config[slides.index(False)].num_key_value_heads
    wide = 2 if config.use_double_wide_mlp else 1
    own = layers - config.num_kv_shared_layers
    keys: dict[str, Value] = {
        "feed_forward_length": [48 * (wide if index >= own else 1) for index in range(layers)],
        "attention.head_count_kv": [2 if sliding else full_heads for sliding in slides],
        "attention.key_length": FULL_HEAD,
        "attention.value_length": FULL_HEAD,
        "attention.key_length_swa": HEAD,
        "attention.value_length_swa": HEAD,
        "attention.sliding_window": WINDOW,
        "attention.sliding_window_pattern": slides,
        "attention.shared_kv_layers": config.num_kv_shared_layers,
        "rope.freq_base": 5000.0,
        "rope.freq_base_swa": 100.0,
        "rope.dimension_count": FULL_HEAD,
        "rope.dimension_count_swa": HEAD,
        "embedding_length_per_layer_input": config.hidden_size_per_layer_input,
        "final_logit_softcapping": 30.0,
    }
    by_hand = {"rope_freqs.weight": torch.tensor([1.0] * 2 + [1e30] * 6), **(extra or {})}
    if config.enable_moe_block:
        keys |= {"expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": 20}
        for index, layer in enumerate(model.model.layers):
            by_hand[f"blk.{index}.ffn_gate_inp.scale"] = layer.router.scale
            by_hand[f"blk.{index}.ffn_down_exps.scale"] = layer.router.per_expert_scale
    # What the helper reads once for all layers stands above for each.
    config.allow_global_per_layer_attribute_access = True
    return write_language(folder, "gemma4", model, keys, prepare=named, extra=by_hand)


@pytest.mark.parametrize("kind", [DENSE, EFFECTIVE, MIXTURE], ids=["dense", "E", "mixture"])
def test_language(kind: dict[str, Any], tmp_path: Path) -> None:
    model = a_model(kind)
    assert_same_decoder(file_of(tmp_path, model), model)


def test_keys_of_layers_that_read_anothers_are_left_aside(tmp_path: Path) -> None:
    model = a_model(EFFECTIVE)
    of_nobody = {"blk.5.attn_k.weight": torch.ones(32, 32), "blk.5.attn_k_norm.weight": torch.ones(FULL_HEAD)}
    assert_same_decoder(file_of(tmp_path, model, extra=of_nobody), model)


@torch.inference_mode()
def test_an_image_brings_the_values_of_the_padding_token(tmp_path: Path) -> None:
    decoder = load_decoder(file_of(tmp_path, a_model(EFFECTIVE)))
    image = torch.randn(3, 32, generator=torch.Generator().manual_seed(3))
    padding = decoder.embed(torch.zeros(3, dtype=torch.long))
    assert torch.equal(decoder.embed_image(image), torch.cat((image, padding[:, 32:]), dim=1))


PATCH, TOWER, GRID = 4, 32, (6, 9)  # rows and columns of patches
TOWER_SIZES: dict[str, Any] = {
    "hidden_size": TOWER,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "patch_size": PATCH,
    "position_embedding_size": 12,
    "attn_implementation": "eager",
}
TOWER_KEYS: dict[str, Value] = {
    "embedding_length": TOWER,
    "feed_forward_length": 40,
    "attention.head_count": 4,
    "block_count": 3,
    "patch_size": PATCH,
    "image_size": 224,
    "projection_dim": 64,
    "attention.layer_norm_epsilon": 1e-6,
}


def tower_file(folder: Path, tower: Any, embedder: Any, activation: str | None) -> Path:
    """The bounds of matrices are named by hand, as their suffixes are none of the map's."""
    tensors, bounds = [], {}
    for name, tensor in tower.state_dict().items():
        full = f"model.vision_tower.{name}".replace("model.vision_tower.encoder.", "vision_model.model.")
        full = full.replace(".linear.weight", ".weight")
        if name.endswith(("_min", "_max")):
            bounds[full] = tensor.reshape(1)
        elif name.endswith("input_proj.weight"):
            tensors.append((full, tensor.view(TOWER, PATCH, PATCH, 3).permute(0, 3, 1, 2)))
        else:
            tensors.append((f"{full}.weight" if name.endswith("table") else full, tensor))
    tensors.append(("model.embed_vision.embedding_projection.weight", embedder.embedding_projection.weight))
    parts = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_out"}
    parts |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    extra = {}
    for name, tensor in bounds.items():
        *_, block, _, part, bound = name.split(".")
        extra[f"v.blk.{block}.{parts[part]}.{bound}"] = tensor
    return write_tower(folder, "gemma4v", tensors, TOWER_KEYS, extra=extra, activation=activation)


@pytest.mark.parametrize(
    ("activation", "flag", "options"),
    [
        ("quick_gelu", None, {}),
        ("gelu_pytorch_tanh", None, {}),
        ("gelu_pytorch_tanh", "gelu", {"standardize": True, "use_clipped_linears": True}),
    ],
    ids=["as the reference reads a file without a flag", "as it was trained", "bounds and a standard"],
)
@torch.inference_mode()
def test_tower(activation: str, flag: str | None, options: dict[str, bool], tmp_path: Path) -> None:
    config = Gemma4VisionConfig(**TOWER_SIZES, hidden_activation=activation, **options)
    tower, embedder = (
        randomise(Gemma4VisionModel(config)),
        randomise(Gemma4MultimodalEmbedder(config, Gemma4TextConfig(hidden_size=64))),
    )
    for name, buffer in tower.named_buffers():
        if name.endswith(("_min", "_max")):
            buffer.fill_(-0.5 if name.endswith("_min") else 0.6)
        elif "std_" in name:
            buffer.copy_(torch.linspace(0.5, 1.5, TOWER))
    rows, columns = GRID
    pixels = torch.rand(1, 3, rows * PATCH, columns * PATCH, generator=torch.Generator().manual_seed(2))
    patches = pixels.view(3, rows, PATCH, columns, PATCH).permute(1, 3, 2, 4, 0).reshape(1, rows * columns, -1)
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(1)[None]
    expected = embedder(tower(patches, place).last_hidden_state)[None]
    path = tower_file(tmp_path, tower, embedder, flag)
    if flag or activation == "quick_gelu":
        assert_same_tower(path, pixels, expected)
    if activation != "quick_gelu":
        assert_same_tower(path, pixels, expected, as_trained=True)
