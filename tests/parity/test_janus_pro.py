"""Janus Pro's tower computes what transformers computes on the same weights and pixels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers.models.janus.configuration_janus import JanusVisionConfig
from transformers.models.janus.modeling_janus import JanusVisionAlignerMLP, JanusVisionModel

from tests.parity.pair import assert_same_tower, randomise, write_tower
from tests.parity.tiny import HIDDEN, LANGUAGE_WIDTH, METADATA, SIZES, WIDTH, some_pixels, under


@torch.inference_mode()
def test_janus_pro(tmp_path: Path) -> None:
    config = JanusVisionConfig(
        **SIZES, hidden_act="gelu_pytorch_tanh", mlp_ratio=HIDDEN / WIDTH, projection_dim=LANGUAGE_WIDTH, depth=2
    )
    tower = randomise(JanusVisionModel(config))
    aligner = randomise(JanusVisionAlignerMLP(config), seed=3)
    layers: list[nn.Module] = [aligner.fc1, *aligner.hidden_layers]
    tensors = under("model.vision_model", tower)
    tensors += [pair for n, layer in enumerate(layers) for pair in under(f"multi_modal_projector.linear_{n}", layer)]
    pixels = some_pixels(2)
    expected = aligner(tower(pixel_values=pixels).last_hidden_state)
    assert_same_tower(write_tower(tmp_path, "janus_pro", tensors, METADATA), pixels, expected)
