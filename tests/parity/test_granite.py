"""Granite, and Granite Vision 4's tower over all slices of an image, compute what transformers computes, in float32."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Granite4VisionConfig, Granite4VisionModel, GraniteConfig, GraniteForCausalLM

from mtmd_cli.image.size import Size
from mtmd_cli.vision.family import Joining
from tests.parity.pair import (
    TOLERANCE,
    Value,
    assert_same_decoder,
    distance,
    load_tower,
    paired,
    randomise,
    write_language,
    write_tower,
)

FACTORS = {"embedding": 3.0, "residual": 0.6, "attention": 0.3}


def test_language_with_its_factors(tmp_path: Path) -> None:
    config = GraniteConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        logits_scaling=1.5,
        **{f"{name}_multiplier": value for name, value in FACTORS.items()},
        rope_parameters={"rope_theta": 5000.0, "rope_type": "default"},
        attn_implementation="eager",
        tie_word_embeddings=False,
    )
    model = randomise(GraniteForCausalLM(config))
    config.head_dim = config.hidden_size // config.num_attention_heads
    keys: dict[str, Value] = {"rope.freq_base": 5000.0, "logit_scale": 1.5}
    keys |= {("attention.scale" if name == "attention" else f"{name}_scale"): value for name, value in FACTORS.items()}

    def pairs(name: str, tensor: Tensor) -> Tensor:
        return paired(name, tensor, {"attn_q": 4, "attn_k": 2})

    assert_same_decoder(write_language(tmp_path, "granite", model, keys, change=pairs), model)


IMAGE, PATCH, WIDTH, TOKEN = 32, 4, 128, 16
PINPOINTS = [(32, 64), (64, 32), (64, 64), (32, 96)]  # height and width
# The block of each stream and the layer that it joins, in the order of those layers; then where its queries begin.
STREAMS = [(1, 0, -1), (2, 2, -1), (3, 3, 0), (3, 4, 1), (3, 5, 2), (3, 6, 3)]
OF_QFORMER = {
    r"^image_positions$": "img_pos",
    r"^out_linear\.": "linear.",
    r"^qformer\.layernorm\.": "post_norm.",
    r"^qformer\.encoder\.layer\.0\.intermediate_query\.dense\.": "ffn_up.",
    r"^qformer\.encoder\.layer\.0\.output_query\.dense\.": "ffn_down.",
    r"^qformer\.encoder\.layer\.0\.output_query\.LayerNorm\.": "ffn_norm.",
    r"^qformer\.encoder\.layer\.0\.attention\.": "self_attn_",
    r"^qformer\.encoder\.layer\.0\.crossattention\.": "cross_attn_",
    r"_attention\.(q|k|v)(uery|ey|alue)\.": r"_\1.",
    r"_output\.dense\.": "_out.",
    r"_output\.LayerNorm\.": "_norm.",
}


def a_model() -> Any:
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": IMAGE,
        "patch_size": PATCH,
    }
    text = {
        "vocab_size": 96,
        "hidden_size": TOKEN,
        "intermediate_size": 32,
        "num_hidden_layers": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "model_type": "granite4_vision_text",
    }
    layerwise = [(block - 4, layer) for block, layer, offset in STREAMS if offset < 0]
    config = Granite4VisionConfig(
        vision_config=vision,
        text_config=text,
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 96,
            "cross_attention_frequency": 1,
            "use_qformer_text_input": False,
        },
        image_grid_pinpoints=[list(size) for size in PINPOINTS],
        downsample_rate="2/4",
        deepstack_layer_map=layerwise,
        spatial_target_layers=[layer for _, layer, offset in STREAMS if offset >= 0],
        vision_feature_select_strategy="full",
    )
    return randomise(Granite4VisionModel(config))


def file_of(folder: Path, model: Any) -> Path:
    metadata: dict[str, Value] = {
        "embedding_length": WIDTH,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "block_count": 4,
        "patch_size": PATCH,
        "image_size": IMAGE,
        "projection_dim": TOKEN,
        "attention.layer_norm_epsilon": 1e-6,
        "projector.query_side": 2,
        "projector.window_side": 4,
        "feature_layer": [block for block, _, _ in STREAMS],
        "projector.spatial_offsets": [offset for _, _, offset in STREAMS],
        "image_grid_pinpoints": [edge for height, width in PINPOINTS for edge in (width, height)],
    }
    extra = {"v.image_newline": model.image_newline}
    projectors = [*model.layerwise_projectors, *model.spatial_projectors]
    for index, projector in enumerate(projectors):
        for name, tensor in projector.state_dict().items():
            ours = name
            for pattern, new in OF_QFORMER.items():
                ours = re.sub(pattern, new, ours)
            extra[f"v.proj_blk.{index}.{ours}"] = tensor
    tower = [
        (
            f"model.vision_tower.{name}" if name.startswith("vision_model") else f"vision_tower.vision_model.{name}",
            tensor,
        )
        for name, tensor in model.vision_tower.state_dict().items()
        if ".head." not in f".{name}"
    ]
    return write_tower(folder, "granite4_vision", tower, metadata, extra=extra)


@pytest.mark.parametrize("image", [Size(90, 29), Size(50, 60), Size(20, 61)], ids=["wide", "square", "tall"])
@torch.inference_mode()
def test_all_slices_of_an_image(image: Size, tmp_path: Path) -> None:
    model = a_model()
    vision = load_tower(file_of(tmp_path, model))
    plan = vision.slicing.plan(image)
    pixels = torch.rand(len(plan.slices), 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(4)) * 2 - 1
    found = model.get_image_features(
        pixels, torch.tensor([[image.height, image.width]]), vision_feature_select_strategy="full"
    )
    expected = torch.cat([packed[0] for _, packed in sorted(found.deepstack_features, key=lambda pair: pair[0])], dim=1)
    assert isinstance(vision.tower, Joining)
    joined = vision.tower.join(vision.tower(pixels), plan)
    assert vision.family.joined is not None
    assert len(joined) == vision.family.joined(vision.config, plan)
    assert distance(joined, expected) <= TOLERANCE
