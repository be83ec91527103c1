"""The tower of Kimi K2.5 computes what transformers computes on the same weights and pixels, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import DeepseekV3Config
from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25Config, Kimi_K25VisionConfig
from transformers.models.kimi_k25.modeling_kimi_k25 import Kimi_K25MultimodalProjection, Kimi_K25VisionModel

from mtmd_cli.vision.families.kimivl import KIMIK25
from mtmd_cli.vision.markers import Markers
from tests.parity.pair import assert_same_tower, randomise, write_tower
from tests.parity.tiny import BLOCKS, HEADS, HIDDEN, LANGUAGE_WIDTH, METADATA, PATCH, WIDTH, by_squares, some_pixels

EPS, MERGE, TRAINED = 1e-5, 2, 6
# The module's names, in the words of the checkpoint; norm1 before norm2, for the one becomes the other.
NAMES = {
    "layers.": "encoder.blocks.",
    "attn.q_proj": "wq",
    "attn.k_proj": "wk",
    "attn.v_proj": "wv",
    "attn.proj": "wo",
    "norm1": "norm0",
    "norm2": "norm1",
    "mlp.fc1": "mlp.fc0",
    "mlp.fc2": "mlp.fc1",
    "final_layernorm": "encoder.final_layernorm",
    "pos_emb.position_embeddings": "pos_emb.weight",
}


def converted(tower: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tower.state_dict().items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        yield f"vision_tower.{name}", tensor


def by_axis(name: str, tensor: Tensor) -> Tensor:
    """Heads of the file turn neighbours, first those that follow the column; the module's turn halves, in turns."""
    if ".attn_q." not in name and ".attn_k." not in name:
        return tensor
    return tensor.unflatten(0, (HEADS, 2, -1, 2)).permute(0, 3, 2, 1, *range(4, tensor.dim() + 3)).reshape(tensor.shape)


@pytest.mark.parametrize("grid", [(TRAINED, TRAINED), (4, 10), (12, 8)])
@torch.inference_mode()
def test_tower(grid: tuple[int, int], tmp_path: Path) -> None:
    vision = Kimi_K25VisionConfig(
        patch_size=PATCH,
        pos_emb_height=TRAINED,
        pos_emb_width=TRAINED,
        num_attention_heads=HEADS,
        num_hidden_layers=BLOCKS,
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        merge_kernel_size=(MERGE, MERGE),
        attn_implementation="eager",
    )
    text = DeepseekV3Config(hidden_size=LANGUAGE_WIDTH)
    config = Kimi_K25Config(vision_config=vision, text_config=text, projection_hidden_size=WIDTH)
    tower, projector = randomise(Kimi_K25VisionModel(vision)), randomise(Kimi_K25MultimodalProjection(config), seed=3)
    projector.act = nn.GELU(approximate="tanh")  # as the reference takes it
    tensors = list(converted(tower))
    for name, tensor in projector.state_dict().items():
        name = name.replace("in_proj", "proj.linear_1").replace("out_proj", "proj.linear_2")
        tensors.append((f"mm_projector.{name}", tensor))
    keys = {**METADATA, "attention.layer_norm_epsilon": EPS, "projector.scale_factor": MERGE}
    path = write_tower(tmp_path, "kimik25", tensors, keys, change=by_axis)
    pixels = some_pixels(1, grid[0] * PATCH, grid[1] * PATCH)
    patches, sizes = by_squares(pixels, 1)
    expected = projector(tower(patches.squeeze(2), sizes).pooler_output).squeeze(1)
    assert_same_tower(path, pixels, expected[None])


@pytest.mark.parametrize(
    ("vocabulary", "begin"),
    [
        ({"<|media_begin|>", "<|media_end|>"}, "<|media_begin|>"),
        ({"<|begin_of_image|>", "<|end_of_image|>"}, "<|begin_of_image|>"),
    ],
)
def test_markers_follow_the_vocabulary(vocabulary: set[str], begin: str) -> None:
    assert isinstance(KIMIK25.markers, Markers)
    assert KIMIK25.markers.fitting(vocabulary.__contains__).begin == begin
