"""LLaVA's towers compute what transformers computes, but for the class token's place and what that leads to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlavaConfig, SiglipVisionConfig
from transformers.models.llava.modeling_llava import LlavaModel, LlavaMultiModalProjector
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

from tests.parity.clip import class_token_last, clip_tower, read_as_the_reference, tower_tensors
from tests.parity.pair import Value, assert_same_tower, randomise, write_tower
from tests.parity.tiny import BLOCKS, EPS, LANGUAGE_WIDTH, METADATA, SIZES, WIDTH, some_pixels, under

TEXT = {"hidden_size": LANGUAGE_WIDTH, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 8}


def projector_tensors(projector: LlavaMultiModalProjector) -> list[tuple[str, Tensor]]:
    first, second = (
        under(f"multi_modal_projector.linear_{n}", layer)
        for n, layer in ((0, projector.linear_1), (2, projector.linear_2))
    )
    return first + second


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

    # The converter left out the block behind the last feature, so all that are there were trained.
    own = projector(states[layer if named else BLOCKS][:, 1:])
    assert_same_tower(write_tower(tmp_path, "mlp", tensors, metadata), pixels, own, as_trained=True)


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
