"""PaddleOCR-VL computes what transformers computes on the same weights, pixels and tokens, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Ernie4_5Config, Ernie4_5ForCausalLM, PaddleOCRVLConfig
from transformers.models.paddleocr_vl.configuration_paddleocr_vl import PaddleOCRTextConfig, PaddleOCRVisionConfig
from transformers.models.paddleocr_vl.modeling_paddleocr_vl import (
    PaddleOCRProjector,
    PaddleOCRTextModel,
    PaddleOCRVisionModel,
)

from tests.parity.pair import (
    Value,
    assert_same_decoder,
    assert_same_tower,
    randomise,
    write_language,
    write_tower,
)
from tests.parity.tiny import IMAGE, LANGUAGE_WIDTH, METADATA, PATCH, SIZES, Tied, by_squares, some_pixels, under

MERGE = 2


@pytest.mark.parametrize(
    ("grid", "as_reference"),
    [
        ((IMAGE // PATCH, IMAGE // PATCH), True),
        ((8, 14), True),
        ((10, 6), True),
        ((4, 10), False),  # the grid shrinks: the reference smooths the positions and transformers does not
    ],
)
@torch.inference_mode()
def test_tower(grid: tuple[int, int], as_reference: bool, tmp_path: Path) -> None:
    vision = PaddleOCRVisionConfig(**SIZES, spatial_merge_size=MERGE)
    config = PaddleOCRVLConfig(vision_config=vision, text_config=PaddleOCRTextConfig(hidden_size=LANGUAGE_WIDTH))
    tower, projector = randomise(PaddleOCRVisionModel(vision)), randomise(PaddleOCRProjector(config), seed=3)
    projector.act = torch.nn.GELU(approximate="tanh")  # the file names one activation for both
    pixels = some_pixels(1, grid[0] * PATCH, grid[1] * PATCH)
    patches, sizes = by_squares(pixels, 1)
    features = tower(patches.squeeze(2)[None], grid_thw=sizes).last_hidden_state.squeeze(0)
    tensors = under("model", tower) + under("mlp_AR", projector)
    keys: dict[str, Value] = {**METADATA, "image_min_pixels": 1, "image_max_pixels": 1 << 20}
    path = write_tower(tmp_path, "paddleocr", tensors, keys)
    expected = projector(features, sizes)[None]
    if as_reference:
        assert_same_tower(path, pixels, expected)
    assert_same_tower(path, pixels, expected, as_trained=True)


TEXT: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "attn_implementation": "eager",
}
BASE, SECTIONS = 5000.0, [2, 3, 3]


def test_text(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": BASE, "mrope_section": SECTIONS}
    model = Tied(PaddleOCRTextModel(PaddleOCRTextConfig(**TEXT, tie_word_embeddings=True, rope_parameters=rope)))
    keys: dict[str, Value] = {"rope.freq_base": BASE, "rope.dimension_sections": [*SECTIONS, 0]}
    assert_same_decoder(write_language(tmp_path, "paddleocr", model, keys), model)


@pytest.mark.parametrize("bias", [False, True])
def test_text_of_ernie(bias: bool, tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": BASE}
    config = Ernie4_5Config(**TEXT, use_bias=bias, tie_word_embeddings=True, rope_parameters=rope)
    model = randomise(Ernie4_5ForCausalLM(config))
    assert_same_decoder(write_language(tmp_path, "ernie4_5", model, {"rope.freq_base": BASE}), model)
