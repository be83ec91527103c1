"""Pixtral's tower and what follows it in Mistral Small and LightOnOCR, as transformers computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LightOnOcrConfig, LlavaConfig, Mistral3Config, MistralConfig, PixtralVisionConfig, Qwen3Config
from transformers.models.lighton_ocr.modeling_lighton_ocr import LightOnOcrModel
from transformers.models.llava.modeling_llava import LlavaModel
from transformers.models.mistral3.modeling_mistral3 import Mistral3Model

from tests.parity.pair import Value, assert_same_tower, paired, randomise, write_tower
from tests.parity.tiny import HEADS, LANGUAGE_WIDTH, METADATA, SIZES, some_pixels, under

EPS = 1e-5  # fixed in the other side's tower
TEXT: dict[str, Any] = {
    "hidden_size": LANGUAGE_WIDTH,
    "num_hidden_layers": 1,
    "intermediate_size": 8,
    "vocab_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "rms_norm_eps": EPS,
}
VISION = PixtralVisionConfig(**SIZES, hidden_act="gelu_pytorch_tanh", rope_theta=10000.0, head_dim=12)
KEYS: dict[str, Value] = {**METADATA, "attention.layer_norm_epsilon": EPS}
ROWS, COLUMNS = 4, 6  # patches
PIXELS = some_pixels(1, ROWS * 8, COLUMNS * 8)
SIZE = torch.tensor([[ROWS * 8, COLUMNS * 8]])


def pairs(name: str, tensor: Tensor) -> Tensor:
    return paired(name, tensor, {"attn_q": HEADS, "attn_k": HEADS})


def with_breaks(tokens: Tensor, rows: int, line_break: Tensor) -> Tensor:
    """The tokens of one picture, the break between its rows: (1, tokens and breaks, width)"""
    parts = [part for row in tokens.unflatten(0, (rows, -1)) for part in (row, line_break[None])]
    return torch.cat(parts[:-1])[None]


@torch.inference_mode()
def test_pixtral(tmp_path: Path) -> None:
    config = LlavaConfig(
        vision_config=VISION,
        text_config=MistralConfig(**TEXT),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu_pytorch_tanh",
    )
    model, line_break = randomise(LlavaModel(config)), torch.linspace(-1, 1, LANGUAGE_WIDTH)
    (tokens,) = model.get_image_features(PIXELS, image_sizes=SIZE).pooler_output
    tensors = under("vision_tower", model.vision_tower) + under("multi_modal_projector", model.multi_modal_projector)
    tensors.append(("v.token_embd.img_break", line_break))
    path = write_tower(tmp_path, "pixtral", tensors, KEYS, change=pairs)
    assert_same_tower(path, PIXELS, with_breaks(tokens, ROWS, line_break))


@torch.inference_mode()
def test_mistral_small_joins_squares(tmp_path: Path) -> None:
    config = Mistral3Config(
        vision_config=VISION,
        text_config=MistralConfig(**TEXT),
        spatial_merge_size=2,
        projector_hidden_act="gelu_pytorch_tanh",
    )
    model, line_break = randomise(Mistral3Model(config)), torch.linspace(-1, 1, LANGUAGE_WIDTH)
    (tokens,) = model.get_image_features(PIXELS, SIZE, vision_feature_layer=-1, output_hidden_states=True).pooler_output
    tensors = under("vision_tower", model.vision_tower) + under("multi_modal_projector", model.multi_modal_projector)
    tensors.append(("v.token_embd.img_break", line_break))
    path = write_tower(tmp_path, "pixtral", tensors, {**KEYS, "spatial_merge_size": 2}, change=pairs)
    assert_same_tower(path, PIXELS, with_breaks(tokens, ROWS // 2, line_break))


@torch.inference_mode()
def test_lightonocr_has_no_breaks(tmp_path: Path) -> None:
    config = LightOnOcrConfig(vision_config=VISION, text_config=Qwen3Config(**TEXT), spatial_merge_size=2)
    model = randomise(LightOnOcrModel(config))
    model.vision_projection.act = torch.nn.GELU(approximate="tanh")
    (tokens,) = model.get_image_features(PIXELS, SIZE).pooler_output
    tensors = under("vision_tower", model.vision_encoder) + under("multi_modal_projector", model.vision_projection)
    path = write_tower(tmp_path, "lightonocr", tensors, {**KEYS, "spatial_merge_size": 2}, change=pairs)
    assert_same_tower(path, PIXELS, tokens[None])
