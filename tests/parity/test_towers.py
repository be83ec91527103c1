"""Vision towers compute what transformers computes on the same weights and pixels, in float32."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import Gemma3Config, Gemma3TextConfig, Idefics3Config, LlamaConfig, SiglipVisionConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3MultiModalProjector
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector, Idefics3VisionTransformer
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

from tests.parity.pair import Value, assert_same_tower, randomise, write_tower

WIDTH, HIDDEN, HEADS, BLOCKS, PATCH, IMAGE = 48, 80, 4, 2, 8, 64  # heads of 12: no kernel's favourite
LANGUAGE_WIDTH = 64
METADATA: dict[str, Value] = {
    "embedding_length": WIDTH,
    "feed_forward_length": HIDDEN,
    "attention.head_count": HEADS,
    "block_count": BLOCKS,
    "patch_size": PATCH,
    "image_size": IMAGE,
    "projection_dim": LANGUAGE_WIDTH,
    "attention.layer_norm_epsilon": 1e-6,
}
SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": BLOCKS,
    "patch_size": PATCH,
    "image_size": IMAGE,
    "layer_norm_eps": 1e-6,
    "attn_implementation": "eager",
}


def some_pixels(slices: int) -> Tensor:
    return torch.rand(slices, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(2)) * 2 - 1


@torch.inference_mode()
def test_gemma3(tmp_path: Path) -> None:
    vision = SiglipVisionConfig(**SIZES, vision_use_head=False)
    text = Gemma3TextConfig(hidden_size=LANGUAGE_WIDTH)
    config = Gemma3Config(vision_config=vision, text_config=text, mm_tokens_per_image=4)
    tower = randomise(SiglipVisionModel(vision))
    projector = randomise(Gemma3MultiModalProjector(config), seed=3)
    tensors = [(f"vision_tower.vision_model.{tail(name)}", tensor) for name, tensor in tower.state_dict().items()]
    tensors += [(f"multi_modal_projector.{name}", tensor) for name, tensor in projector.state_dict().items()]
    tensors = [(name.replace("_weight", ".weight"), tensor) for name, tensor in tensors]

    def add_one_to_the_norm(name: str, tensor: Tensor) -> Tensor:
        return tensor + 1 if name == "mm.soft_emb_norm.weight" else tensor

    pixels = some_pixels(2)
    expected = projector(tower(pixel_values=pixels).last_hidden_state)
    path = write_tower(tmp_path, "gemma3", tensors, METADATA, change=add_one_to_the_norm)
    assert_same_tower(path, pixels, expected)


@torch.inference_mode()
def test_idefics3(tmp_path: Path) -> None:
    vision = Idefics3VisionConfig(**SIZES)
    config = Idefics3Config(vision_config=vision, text_config=LlamaConfig(hidden_size=LANGUAGE_WIDTH), scale_factor=2)
    tower = randomise(Idefics3VisionTransformer(vision))
    connector = randomise(Idefics3Connector(config), seed=3)
    tensors = [(f"model.vision_model.{name}", tensor) for name, tensor in tower.state_dict().items()]
    tensors += [(f"model.connector.{name}", tensor) for name, tensor in connector.state_dict().items()]

    pixels = some_pixels(3)
    expected = connector(tower(pixel_values=pixels).last_hidden_state)
    path = write_tower(tmp_path, "idefics3", tensors, {**METADATA, "projector.scale_factor": 2})
    assert_same_tower(path, pixels, expected)


def tail(name: str) -> str:
    return name.removeprefix("vision_model.")
