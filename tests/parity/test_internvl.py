"""InternVL's towers compute what transformers computes, but for the place of the class token.

The file's position table starts with the class token; the reference reads it as if it ended with it. To compare the
rest, the table is written in the order in which it is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import InternVLConfig, InternVLVisionConfig, Qwen2Config
from transformers.models.internvl.modeling_internvl import InternVLModel

from tests.parity.pair import assert_same_tower, randomise, write_tower
from tests.parity.tiny import IMAGE, LANGUAGE_WIDTH, METADATA, PATCH, SIZES, some_pixels, under

CONVERTED = {"layer_norm": "mlp1.0", "linear_1": "mlp1.1", "linear_2": "mlp1.3"}


@pytest.mark.parametrize(
    "norms",
    [
        {"attention_bias": True},  # 300M
        {"norm_type": "rms_norm", "use_qk_norm": True},  # 6B
    ],
    ids=["300M", "6B"],
)
@torch.inference_mode()
def test_internvl(norms: dict[str, Any], tmp_path: Path) -> None:
    sizes = {**SIZES, "image_size": [IMAGE, IMAGE], "patch_size": [PATCH, PATCH]}
    vision = InternVLVisionConfig(**sizes, **norms, hidden_act="gelu_pytorch_tanh")
    text = Qwen2Config(hidden_size=LANGUAGE_WIDTH, num_hidden_layers=1, intermediate_size=8, vocab_size=8)
    model = randomise(InternVLModel(InternVLConfig(vision_config=vision, text_config=text)))
    model.multi_modal_projector.act = torch.nn.GELU(approximate="tanh")

    tensors = under("model.vision_tower", model.vision_tower)
    for name, converted in CONVERTED.items():
        tensors += under(converted, model.multi_modal_projector.get_submodule(name))
    bare = ("position_embeddings", "lambda_1", "lambda_2")
    tensors = [(f"{name}.weight" if name.endswith(bare) else name, tensor) for name, tensor in tensors]

    def class_token_last(name: str, tensor: Tensor) -> Tensor:
        return tensor.roll(-1, dims=1) if name == "v.position_embd.weight" else tensor

    pixels = some_pixels(3)
    expected = model.get_image_features(
        pixels, vision_feature_layer=-1, vision_feature_select_strategy="default"
    ).pooler_output
    metadata = {**METADATA, "projector.scale_factor": 2}
    assert_same_tower(write_tower(tmp_path, "internvl", tensors, metadata, change=class_token_last), pixels, expected)
    assert_same_tower(write_tower(tmp_path, "internvl", tensors, metadata), pixels, expected, as_trained=True)
