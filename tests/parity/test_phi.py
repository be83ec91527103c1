"""Phi 4, its tower and its language model, as transformers computes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import Phi3Config, Phi3ForCausalLM, Siglip2VisionConfig
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionModel

from tests.parity.pair import Value, assert_same_decoder, assert_same_tower, randomise, write_language, write_tower
from tests.parity.tiny import BLOCKS, LANGUAGE_WIDTH, METADATA, PATCH, SIZES, WIDTH, some_pixels

SIDE = 6  # patches along an edge of the trained square


def patches_of(pixels: Tensor) -> Tensor:
    """(1, 3, rows, columns) -> (1, patches, values), colours last, as the other side's processor orders them."""
    squares = pixels.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))
    return squares.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


@pytest.mark.parametrize(("rows", "columns"), [(SIDE, SIDE), (3, 9), (8, 5)])
@torch.inference_mode()
def test_phi4_tower(rows: int, columns: int, tmp_path: Path) -> None:
    sizes = {key: value for key, value in SIZES.items() if key != "image_size"}
    config = Siglip2VisionConfig(**sizes, num_patches=SIDE**2, vision_use_head=False)
    tower = randomise(Siglip2VisionModel(config))
    layers = nn.Sequential(nn.Linear(WIDTH, LANGUAGE_WIDTH), nn.GELU("tanh"), nn.Linear(LANGUAGE_WIDTH, LANGUAGE_WIDTH))
    projector = randomise(layers, seed=3)

    named = [(name.removeprefix("vision_model."), tensor) for name, tensor in tower.state_dict().items()]
    tensors = [(f"vision_tower.vision_model.{name}", tensor) for name, tensor in named if kept(name)]
    extra = {f"mm.{name}": tensor for name, tensor in projector.state_dict().items()}
    metadata: dict[str, Value] = {**METADATA, "block_count": BLOCKS - 1, "image_size": SIDE * PATCH}
    metadata |= {"image_min_pixels": 64, "image_max_pixels": 1 << 20}

    def as_convolution(name: str, tensor: Tensor) -> Tensor:
        if name != "v.patch_embd.weight":
            return tensor
        return tensor.unflatten(1, (PATCH, PATCH, 3)).permute(0, 3, 1, 2)

    pixels = some_pixels(1, rows * PATCH, columns * PATCH)
    states = tower(
        pixel_values=patches_of(pixels),
        pixel_attention_mask=torch.ones(1, rows * columns, dtype=torch.long),
        spatial_shapes=torch.tensor([[rows, columns]]),
        output_hidden_states=True,
    ).hidden_states
    path = write_tower(tmp_path, "phi4", tensors, metadata, change=as_convolution, extra=extra)
    assert_same_tower(path, pixels, projector(states[-2]))


def kept(name: str) -> bool:
    """The converter leaves out the last block and what follows it."""
    return not name.startswith((f"encoder.layers.{BLOCKS - 1}.", "post_layernorm."))


def test_phi3(tmp_path: Path) -> None:
    config = Phi3Config(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        original_max_position_embeddings=256,
        rms_norm_eps=1e-5,
        pad_token_id=0,
        tie_word_embeddings=False,
        attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5},
    )
    model = randomise(Phi3ForCausalLM(config))
    config.head_dim = config.hidden_size // config.num_attention_heads
    keys: dict[str, Value] = {"rope.freq_base": 5000.0, "rope.dimension_count": 4}
    assert_same_decoder(write_language(tmp_path, "phi3", model, keys), model)
