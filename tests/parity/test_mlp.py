"""LLaVA's towers compute what transformers computes, but for the class token's place and what that leads to.

The file's position table starts with the class token; the reference reads it as if it ended with it, and its first
token is the second patch, its last the class token. To compare the rest, the table is written in the order in which it
is read, and the tokens of the other side are put into that order.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, SiglipVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.llava.modeling_llava import LlavaModel, LlavaMultiModalProjector
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

from tests.parity.pair import Value, assert_same_tower, randomise, write_tower
from tests.parity.tiny import BLOCKS, EPS, LANGUAGE_WIDTH, METADATA, SIZES, WIDTH, some_pixels, under

TEXT = {"hidden_size": LANGUAGE_WIDTH, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 8}
POST_NORM = "post_layernorm"  # the converter leaves it out


def tower_tensors(tower: nn.Module) -> list[tuple[str, Tensor]]:
    named = ((name.removeprefix("vision_model."), tensor) for name, tensor in tower.state_dict().items())
    return [(f"vision_tower.vision_model.{name}", tensor) for name, tensor in named if POST_NORM not in name]


def projector_tensors(projector: LlavaMultiModalProjector) -> list[tuple[str, Tensor]]:
    first, second = (
        under(f"multi_modal_projector.linear_{n}", layer)
        for n, layer in ((0, projector.linear_1), (2, projector.linear_2))
    )
    return first + second


def class_token_last(name: str, tensor: Tensor) -> Tensor:
    return tensor.roll(-1, dims=0) if name == "v.position_embd.weight" else tensor


def read_as_the_reference(tokens: Tensor) -> Tensor:
    """Class token, patches -> the second patch to the last, class token."""
    return torch.cat((tokens[:, 2:], tokens[:, :1]), dim=1)


def clip_tower() -> CLIPVisionModel:
    return randomise(CLIPVisionModel(CLIPVisionConfig(**SIZES, hidden_act="gelu_pytorch_tanh")))


@pytest.mark.parametrize("named", [False, True], ids=["last but one", "by feature_layer"])
@torch.inference_mode()
def test_llava_takes_one_layer_of_clip(named: bool, tmp_path: Path) -> None:
    tower = clip_tower()
    layer = 2 if named else BLOCKS - 1
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=LlamaConfig(**TEXT),
        vision_feature_layer=layer,
        projector_hidden_act="gelu_pytorch_tanh",
    )
    projector = randomise(LlavaMultiModalProjector(config), seed=3)
    pixels = some_pixels(2)
    states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
    metadata: dict[str, Value] = {**METADATA, "feature_layer": [layer]} if named else METADATA
    tensors = tower_tensors(tower) + projector_tensors(projector)
    path = write_tower(tmp_path, "mlp", tensors, metadata, change=class_token_last)
    assert_same_tower(path, pixels, projector(read_as_the_reference(states[layer])))


@torch.inference_mode()
def test_granite_vision_joins_layers_of_siglip(tmp_path: Path) -> None:
    layers = [0, 2, BLOCKS]
    vision = SiglipVisionConfig(**SIZES, vision_use_head=False)
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT),
        vision_feature_layer=layers,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu_pytorch_tanh",
    )
    model = randomise(LlavaModel(config))
    assert isinstance(model.vision_tower, SiglipVisionModel)
    pixels = some_pixels(2)
    expected = torch.stack(list(model.get_image_features(pixels).pooler_output))
    tensors = tower_tensors(model.vision_tower) + projector_tensors(model.multi_modal_projector)
    metadata: dict[str, Value] = {**METADATA, "feature_layer": layers}
    assert_same_tower(write_tower(tmp_path, "mlp", tensors, metadata), pixels, expected)


@torch.inference_mode()
def test_yi_vl_has_a_norm_behind_each_layer(tmp_path: Path) -> None:
    tower = clip_tower()
    projector = randomise(
        nn.Sequential(  # as llava/model/multimodal_projector/builder.py of Yi builds mlp2x_gelu_Norm
            nn.Linear(WIDTH, LANGUAGE_WIDTH),
            nn.LayerNorm(LANGUAGE_WIDTH, EPS),
            nn.GELU("tanh"),
            nn.Linear(LANGUAGE_WIDTH, LANGUAGE_WIDTH),
            nn.LayerNorm(LANGUAGE_WIDTH, EPS),
        ),
        seed=3,
    )
    pixels = some_pixels(2)
    states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
    tensors = tower_tensors(tower)
    tensors += [(f"multi_modal_projector.linear_{name}", tensor) for name, tensor in projector.state_dict().items()]
    path = write_tower(tmp_path, "mlp", tensors, METADATA, change=class_token_last)
    assert_same_tower(path, pixels, projector(read_as_the_reference(states[-2])))
