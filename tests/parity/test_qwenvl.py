"""Qwen-VL computes what transformers computes on the same weights, pixels and tokens, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig, Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel, Qwen2VLTextModel
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig, Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel, Qwen3VLVisionModel

from mtmd_cli.nn.cache_types import CacheType
from tests.parity.pair import (
    TOLERANCE,
    Value,
    assert_same_decoder,
    assert_same_tower,
    distance,
    load_decoder,
    randomise,
    write_language,
    write_tower,
)
from tests.parity.tiny import Tied

WIDTH, HIDDEN, HEADS, BLOCKS, PATCH, MERGE, TRAINED = 48, 80, 4, 4, 8, 2, 10
LANGUAGE_WIDTH = 64
METADATA: dict[str, Value] = {
    "embedding_length": WIDTH,
    "feed_forward_length": HIDDEN,
    "attention.head_count": HEADS,
    "block_count": BLOCKS,
    "patch_size": PATCH,
    "image_size": TRAINED * PATCH,
    "projection_dim": LANGUAGE_WIDTH,
    "attention.layer_norm_epsilon": 1e-6,
}
SIZES: dict[str, Any] = {
    "depth": BLOCKS,
    "num_heads": HEADS,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "attn_implementation": "eager",
}
GRIDS = [(10, 10), (18, 22), (4, 6)]  # the trained square, more than a window of 14 both ways, less than one


def some_pixels(grid: tuple[int, int]) -> Tensor:
    rows, columns = grid
    return torch.rand(1, 3, rows * PATCH, columns * PATCH, generator=torch.Generator().manual_seed(2)) * 2 - 1


def as_video(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """One image as the processors of Qwen-VL give it: patches by squares, twice each, as in a video; and its grid."""
    _, _, height, width = pixels.shape
    rows, columns = height // PATCH, width // PATCH
    squares = pixels.view(3, rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH).permute(1, 4, 2, 5, 0, 3, 6)
    frames = squares.unsqueeze(5).expand(-1, -1, -1, -1, -1, 2, -1, -1)
    return frames.reshape(rows * columns, -1), torch.tensor([[1, rows, columns]])


def converted(tower: nn.Module, deepstack: list[int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors under names that the converter looks up: numbered like blocks where it numbers by hand."""
    names = {"merger.norm": "merger.ln_q", "merger.linear_fc1": "merger.mlp.0", "merger.linear_fc2": "merger.mlp.2"}
    for name, tensor in tower.state_dict().items():
        stem, leaf = name.rsplit(".", 1)
        if stem == "patch_embed.proj" and leaf == "weight":
            continue
        if stem.startswith("deepstack_merger_list."):
            _, index, part = stem.split(".")
            yield f"model.visual.deepstack_merger_list.{deepstack[int(index)]}.{part}.{leaf}", tensor
        elif stem.endswith("attn.qkv") and "pos_embed.weight" not in tower.state_dict():
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                yield f"visual.{stem.removesuffix('qkv')}{letter}.{leaf}", third
        else:
            yield f"visual.{names.get(stem, stem)}.{leaf}", tensor


def compare(
    tower: Any, folder: Path, projector: str, grid: tuple[int, int], activation: str | None, **metadata: Value
) -> None:
    deepstack = [block for block, level in enumerate(metadata.get("is_deepstack_layers", [])) if level]  # type: ignore[arg-type]
    randomise(tower)
    frames = tower.patch_embed.proj.weight.unbind(2)
    path = write_tower(
        folder,
        projector,
        converted(tower, deepstack),
        {**METADATA, **metadata},
        extra={"v.patch_embd.weight": frames[0], "v.patch_embd.weight.1": frames[1]},
        activation=activation,
    )
    pixels = some_pixels(grid)
    out = tower(*as_video(pixels))
    expected = torch.cat([out.pooler_output, *getattr(out, "deepstack_features", [])], dim=-1)
    assert_same_tower(path, pixels, expected[None])


@pytest.mark.parametrize("grid", GRIDS)
@torch.inference_mode()
def test_tower_of_qwen2vl(grid: tuple[int, int], tmp_path: Path) -> None:
    config = Qwen2VLVisionConfig(**SIZES, embed_dim=WIDTH, hidden_size=LANGUAGE_WIDTH, mlp_ratio=2)
    compare(Qwen2VisionTransformerPretrainedModel(config), tmp_path, "qwen2vl_merger", grid, None)


@pytest.mark.parametrize("grid", GRIDS)
@torch.inference_mode()
def test_tower_of_qwen25vl(grid: tuple[int, int], tmp_path: Path) -> None:
    sizes = {**SIZES, "hidden_size": WIDTH, "intermediate_size": HIDDEN, "out_hidden_size": LANGUAGE_WIDTH}
    config = Qwen2_5_VLVisionConfig(**sizes, window_size=112, fullatt_block_indexes=[1, 3])
    tower = Qwen2_5_VisionTransformerPretrainedModel(config)
    compare(tower, tmp_path, "qwen2.5vl_merger", grid, "silu", n_wa_pattern=2)


@pytest.mark.parametrize("deepstack", [[], [0, 2]])
@pytest.mark.parametrize("grid", GRIDS)
@torch.inference_mode()
def test_tower_of_qwen3vl(grid: tuple[int, int], deepstack: list[int], tmp_path: Path) -> None:
    sizes = {**SIZES, "hidden_size": WIDTH, "intermediate_size": HIDDEN, "out_hidden_size": LANGUAGE_WIDTH}
    config = Qwen3VLVisionConfig(**sizes, num_position_embeddings=TRAINED**2, deepstack_visual_indexes=deepstack)
    levels = [block in deepstack for block in range(BLOCKS)]
    keys: dict[str, Value] = {"spatial_merge_size": MERGE, "is_deepstack_layers": levels}
    compare(Qwen3VLVisionModel(config), tmp_path, "qwen3vl_merger", grid, "gelu", **keys)


TEXT_SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "attn_implementation": "eager",
}
BASE, SECTIONS = 5000.0, [3, 3, 2]
KEYS: dict[str, Value] = {"rope.freq_base": BASE, "rope.dimension_sections": [*SECTIONS, 0]}


def qwen2vl() -> Tied:
    rope = {"rope_type": "default", "rope_theta": BASE, "mrope_section": SECTIONS}
    return Tied(Qwen2VLTextModel(Qwen2VLTextConfig(**TEXT_SIZES, rope_parameters=rope)))


def qwen3vl() -> Tied:
    rope = {"rope_type": "default", "rope_theta": BASE, "mrope_section": SECTIONS, "mrope_interleaved": True}
    return Tied(Qwen3VLTextModel(Qwen3VLTextConfig(**TEXT_SIZES, head_dim=16, rope_parameters=rope)))


def test_text_of_qwen2vl(tmp_path: Path) -> None:
    model = qwen2vl()
    assert_same_decoder(write_language(tmp_path, "qwen2vl", model, KEYS), model)


def test_text_of_qwen3vl(tmp_path: Path) -> None:
    model = qwen3vl()
    assert_same_decoder(write_language(tmp_path, "qwen3vl", model, KEYS), model)


BEFORE, ROWS, COLUMNS, AFTER = 5, 2, 4, 6


def positions() -> Tensor:
    """Text, an image, text: (n, 4) as t, y, x, z"""
    image = ROWS * COLUMNS
    line = torch.cat((torch.arange(BEFORE), torch.full((image,), BEFORE), torch.arange(AFTER) + BEFORE + COLUMNS))
    table = torch.stack((line, line, line, torch.zeros_like(line)), dim=1)
    table[BEFORE : BEFORE + image, 1] += torch.arange(image) // COLUMNS
    table[BEFORE : BEFORE + image, 2] += torch.arange(image) % COLUMNS
    return table


@pytest.mark.parametrize(("architecture", "levels"), [("qwen2vl", 0), ("qwen3vl", 0), ("qwen3vl", 2)])
@torch.inference_mode()
def test_an_image_between_texts(architecture: str, levels: int, tmp_path: Path) -> None:
    model = {"qwen2vl": qwen2vl, "qwen3vl": qwen3vl}[architecture]()
    keys = {**KEYS, **({"n_deepstack_layers": levels} if levels else {})}
    decoder = load_decoder(write_language(tmp_path, architecture, model, keys))
    width, image = TEXT_SIZES["hidden_size"], slice(BEFORE, BEFORE + ROWS * COLUMNS)
    seen = torch.randn(ROWS * COLUMNS, width * (1 + levels), generator=torch.Generator().manual_seed(4))
    tokens, places = torch.arange(BEFORE + AFTER) % 96, positions()

    first, *features = seen.split(width, dim=-1)
    text = model.model.embed_tokens(tokens)
    x = torch.cat((text[:BEFORE], first, text[BEFORE:]))
    masks = {"visual_pos_masks": torch.zeros(1, len(x), dtype=torch.bool), "deepstack_visual_embeds": features}
    masks["visual_pos_masks"][:, image] = True
    given = {"inputs_embeds": x[None], "position_ids": places[:, :3].t()[:, None]}
    expected = model(None, **given, **(masks if levels else {})).logits[0]

    cache = decoder.new_cache(CacheType("f32"), CacheType("f32"))
    parts = [decoder.embed(tokens[:BEFORE]), seen, decoder.embed(tokens[BEFORE:])]
    hidden = [decoder(part, places[cache.length : cache.length + len(part)], cache) for part in parts]
    assert distance(decoder.logits(torch.cat(hidden)), expected) <= TOLERANCE
