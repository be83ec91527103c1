"""Llama 4's tower computes what transformers computes on the same weights and pixels, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.models.llama4.configuration_llama4 import Llama4VisionConfig
from transformers.models.llama4.modeling_llama4 import Llama4VisionModel

from tests.parity.pair import Value, assert_same_tower, randomise, write_gguf

WIDTH, HEADS, BLOCKS, PATCH, IMAGE, MERGE = 48, 4, 2, 8, 64, 2
HIDDEN = WIDTH * MERGE**2  # in transformers the adapter's input has the width of the blocks' hidden layer
ADAPTER, LANGUAGE_WIDTH = 40, 64
METADATA: dict[str, Value] = {
    "general.architecture": "clip",
    "clip.has_vision_encoder": True,
    "clip.projector_type": "llama4",
    "clip.use_gelu": True,
    "clip.vision.image_mean": [0.5, 0.5, 0.5],
    "clip.vision.image_std": [0.5, 0.5, 0.5],
    "clip.vision.embedding_length": WIDTH,
    "clip.vision.feed_forward_length": HIDDEN,
    "clip.vision.attention.head_count": HEADS,
    "clip.vision.block_count": BLOCKS,
    "clip.vision.patch_size": PATCH,
    "clip.vision.image_size": IMAGE,
    "clip.vision.projection_dim": LANGUAGE_WIDTH,
    "clip.vision.attention.layer_norm_epsilon": 1e-5,
    "clip.vision.projector.scale_factor": MERGE,
}
NAMES = {
    "patch_embedding.linear.weight": "v.patch_embd.weight",
    "class_embedding": "v.class_embd",
    "positional_embedding_vlm": "v.position_embd.weight",
    "layernorm_pre": "v.pre_ln",
    "layernorm_post": "v.post_ln",
    "model.layers": "v.blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_out",
    "input_layernorm": "ln1",
    "post_attention_layernorm": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


@torch.inference_mode()
def test_the_tokens_are_those_of_transformers_column_by_column(tmp_path: Path) -> None:
    config = Llama4VisionConfig(
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_attention_heads=HEADS,
        num_hidden_layers=BLOCKS,
        patch_size=PATCH,
        image_size=IMAGE,
        pixel_shuffle_ratio=1 / MERGE,
        projector_input_dim=ADAPTER,
        projector_output_dim=ADAPTER,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        attn_implementation="eager",
    )
    tower = with_fast_gelu(randomise(Llama4VisionModel(config)))
    projection = randomise(nn.Linear(ADAPTER, LANGUAGE_WIDTH, bias=False), seed=3)
    pixels = torch.rand(3, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(2)) * 2 - 1
    rows = projection(tower(pixel_values=pixels).last_hidden_state)

    side = IMAGE // PATCH // MERGE
    columns = rows.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)
    tensors = {**dict(named(tower)), "mm.model.fc.weight": projection.weight}
    path = write_gguf(tmp_path / "mmproj.gguf", METADATA, tensors)
    assert_same_tower(path, pixels, columns)
    assert_same_tower(path, pixels, rows, as_trained=True)


def named(tower: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The names of released files, which differ from what the package gguf makes of them in the second norm."""
    for name, tensor in tower.state_dict().items():
        adapter = name.startswith("vision_adapter.mlp.fc")
        if adapter:
            name = name.replace("vision_adapter.mlp.fc", "mm.model.mlp.")
        for theirs, ours in NAMES.items():
            name = name if adapter else name.replace(theirs, ours)
        yield name, tensor


def with_fast_gelu(tower: nn.Module) -> nn.Module:
    """Files say "gelu", which the reference reads as its approximation by tanh."""
    for module in tower.modules():
        if isinstance(getattr(module, "activation_fn", None), nn.GELU):
            module.activation_fn = nn.GELU(approximate="tanh")
    return tower
