"""Every slice of every golden case has the reference's bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mtmd_cli.gguf import open_gguf
from mtmd_cli.image.cut import cut
from mtmd_cli.image.load import load_image
from mtmd_cli.image.pixels import normalise
from mtmd_cli.image.plan import Filter
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import DynamicSize, FixedSize, Idefics3, Lfm2, LlavaUhd, Pinpoints, Slicing
from mtmd_cli.image.slicing.pinpoints import sizes_from_pairs, sizes_of_tiles, sizes_up_to

Limits = dict[str, Any]


def dynamic(align: int, least: int, most: int) -> Callable[[Limits], Slicing]:
    def strategy(flags: Limits) -> Slicing:
        fewest = flags.get("image_min_tokens") or least
        return DynamicSize(align, fewest * align**2, (flags.get("image_max_tokens") or most) * align**2)

    return strategy


def always(strategy: Slicing) -> Callable[[Limits], Slicing]:
    return lambda flags: strategy


STRATEGIES: dict[str, Callable[[Limits], Slicing]] = {
    "gemma3": always(FixedSize(224, Filter.BILINEAR)),
    "gemma4e": dynamic(48, 70, 1120),
    "gemma4moe": dynamic(48, 70, 1120),
    "gemma4v": dynamic(48, 70, 1120),
    "glm4v": dynamic(28, 8, 4096),
    "granite4_vision": always(
        Pinpoints(
            128,
            sizes_from_pairs([256, 128, 128, 256, 256, 256, 128, 384, 384, 128]),
            always_tiled=True,
            overview_first=True,
        )
    ),
    "idefics3": always(Idefics3(96, longest_edge=384)),
    "internvl": always(Pinpoints(84, sizes_of_tiles(84, 1, 6))),
    "janus_pro": always(FixedSize(96, colour=(127, 127, 127))),
    "kimivl": dynamic(28, 8, 1024),
    "lfm2": always(Lfm2(16, 2, min_pixels=64 * 32**2, max_pixels=256 * 32**2)),
    "llama4": always(Pinpoints(84, sizes_up_to(84, 3))),
    "llava15": always(FixedSize(112, colour=(122, 116, 104))),
    "llava16": always(Pinpoints(56, sizes_from_pairs([56, 112, 112, 56, 112, 112, 168, 56, 56, 168]))),
    "minicpmv": always(LlavaUhd(112, align=14)),
    "paddleocr": always(DynamicSize(28, min_pixels=6272, max_pixels=313600)),
    "pixtral": dynamic(16, 8, 1024),
    "qwen25vl": dynamic(28, 8, 4096),
    "qwen2vl": dynamic(28, 8, 4096),
    "qwen35": dynamic(32, 8, 4096),
    "qwen35moe": dynamic(32, 8, 4096),
    "qwen3vl": dynamic(32, 8, 4096),
    "qwen3vlmoe": dynamic(32, 8, 4096),
}


def image_path(root: Path, name: str) -> Path:
    """The reference decodes JPEG a little differently; its decodings lie beside the images."""
    decoded = (root / "images" / name).with_suffix(".stb.png")
    return decoded if decoded.exists() else root / "images" / name


def slices_of(case: dict[str, Any], root: Path) -> list[torch.Tensor]:
    strategy = STRATEGIES[case["family"]](case["flags"])
    slices = []
    for entry in case["input_images"]:
        image = load_image(image_path(root, entry["file"]))
        parts = cut(image, strategy.plan(Size(*image.size)))
        # The reference stacks the slices of this family into one tall picture.
        slices += [torch.cat(parts)] if case["family"] == "granite4_vision" else parts
    return slices


def stored_pixels(path: Path) -> dict[str, torch.Tensor]:
    packed, floats = path.with_suffix(".pixels_u8.npz"), path.with_suffix(".safetensors")
    stored = {k: torch.from_numpy(v) for k, v in np.load(packed).items()} if packed.exists() else {}
    if floats.exists():
        stored |= {k: v for k, v in load_file(floats).items() if k.startswith("pixels.")}
    return stored


@pytest.mark.parametrize("family", sorted(STRATEGIES))
def test_slices_have_the_bytes_of_the_reference(family: str, golden_root: Path) -> None:
    cases = sorted(p for p in (golden_root / family).glob("case_*.json") if not p.name.endswith(".fa.json"))
    if not cases:
        pytest.skip(f"no golden data for {family}")
    metadata = open_gguf(golden_root / family / "mmproj.gguf").metadata
    mean, std = metadata.floats("clip.vision.image_mean"), metadata.floats("clip.vision.image_std")
    compared = 0
    for path in cases:
        case = json.loads(path.read_text())
        entries = [entry for chunk in case["chunks"] if chunk["type"] == "image" for entry in chunk["entries"]]
        slices = slices_of(case, golden_root)
        assert [(s.shape[1], s.shape[0]) for s in slices] == [(e["width"], e["height"]) for e in entries], path.name
        stored = stored_pixels(path)
        for entry, pixels in zip(entries, slices, strict=True):
            expected = stored.get(entry.get("tensor", ""))
            if expected is None:  # cases that differ in text alone do not repeat the pixels
                continue
            if expected.dtype == torch.float32:
                pixels = normalise(pixels, mean, std).movedim(0, -1)
            assert torch.equal(pixels, expected), f"{path.name}: {entry['tensor']}"
            compared += 1
    assert compared
