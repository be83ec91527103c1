"""Golden cases: what the reference computed for a prompt, and the answer of this program to the same prompt.

A root holds `images/` and a folder for each pair of models, with `case_<name>.json` (exact values) and
`case_<name>.safetensors` (floats). `case_<name>.fa.*` is the same prompt with flash attention and an f16 cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

import mtmd_cli
from mtmd_cli.gguf import GGUFFile, open_gguf
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.vision.registry import VISION_FAMILIES

HERE = Path(__file__).resolve().parent
FLOATS = {"F32", "F16", "BF16"}


def golden_root() -> Path:
    """The folder that MTMD_GOLDEN names, else the part of the data that lies in the repository."""
    return Path(os.environ.get("MTMD_GOLDEN") or HERE)


def golden_folders() -> list[Path]:
    """Every folder with a pair of models."""
    return sorted(path.parent for path in golden_root().glob("*/mmproj.gguf"))


@lru_cache
def kinds(folder: Path) -> tuple[str, str]:
    """The projector type and the architecture of a folder's models."""
    projector, model = (open_gguf(folder / name).metadata for name in ("mmproj.gguf", "text.gguf"))
    default = projector.str("clip.vision.projector_type", "")
    return projector.str("clip.projector_type", default), model.str("general.architecture")


def is_registered(folder: Path) -> bool:
    """Whether both models of a folder are of families that this program knows."""
    projector, architecture = kinds(folder)
    return any(f.name == projector for f in VISION_FAMILIES) and any(f.name == architecture for f in LANGUAGE_FAMILIES)


@dataclass(frozen=True)
class Case:
    """One prompt and what the reference made of it. path: its json file."""

    path: Path

    @property
    def family(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.name.removeprefix("case_").removesuffix(".json")

    @cached_property
    def said(self) -> dict[str, Any]:
        """The json file."""
        said: dict[str, Any] = json.loads(self.path.read_text())
        return said

    @cached_property
    def floats(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix(".safetensors"))

    @cached_property
    def pixels(self) -> dict[str, Tensor]:
        """`pixels.<chunk>.<entry>.u8`: the bytes that the encoder saw; empty where another case holds them."""
        path = self.path.with_suffix(".pixels_u8.npz")
        return {name: torch.from_numpy(data) for name, data in np.load(path).items()} if path.exists() else {}

    @cached_property
    def spread(self) -> dict[str, float]:
        """How far the reference's own two runs (with and without flash attention) lie apart."""
        main = self.path.with_name(self.path.name.replace(".fa.json", ".json"))
        spread: dict[str, float] = json.loads(main.read_text())["fa_spread"]
        return spread

    def images(self) -> list[Path]:
        """The input images. The reference decodes JPEG a little differently; its decodings lie beside the files."""
        paths = [self.path.parent.parent / "images" / image["file"] for image in self.said["input_images"]]
        return [decoded if (decoded := path.with_suffix(".stb.png")).exists() else path for path in paths]

    def settings(self) -> dict[str, Any]:
        """The arguments of mtmd_cli.load that this case asks for; cases with equal ones share an engine."""
        said, flags = self.said, self.said["flags"]
        return {
            "model": self.path.with_name(said["model"]),
            "mmproj": self.path.with_name(said["mmproj"]),
            "device": "cpu",
            "dtype": "f32",
            "flash_attn": "on" if flags["flash_attn"] else "off",
            "batch": flags["n_batch"],
            "ubatch": flags["n_ubatch"],
            "cache_type_k": flags["kv_type"],
            "cache_type_v": flags["kv_type"],
            "image_min_tokens": flags.get("image_min_tokens"),
            "image_max_tokens": flags.get("image_max_tokens"),
            "chat_template": said.get("chat_template_override"),
            "jinja": said["jinja"],
        }

    def language_file(self) -> GGUFFile:
        return open_gguf(self.path.with_name(self.said["model"]))

    def chunks(self) -> list[dict[str, Any]]:
        """The reference's chunks; neighbouring texts are joined, for it reads a system message by itself."""
        joined: list[dict[str, Any]] = []
        for chunk in self.said["chunks"]:
            if joined and chunk["type"] == joined[-1]["type"] == "text":
                tokens = joined[-1]["tokens"] + chunk["tokens"]
                joined[-1] = {**joined[-1], "tokens": tokens, "pos_end": chunk["pos_end"]}
            else:
                joined.append(chunk)
        return joined

    def image_numbers(self) -> list[int]:
        """The places of image chunks in the reference's own count, which names its tensors."""
        return [place for place, chunk in enumerate(self.said["chunks"]) if chunk["type"] == "image"]


def golden_cases() -> Iterator[Case]:
    """Every case of every registered family; those that can share an engine follow each other."""
    for folder in filter(is_registered, golden_folders()):
        cases = [Case(path) for path in folder.glob("case_*.json")]
        yield from sorted(cases, key=lambda case: (str(case.settings()), case.name))


@dataclass(frozen=True)
class Answer:
    """What this program said and computed."""

    finished: mtmd_cli.Finished
    tensors: dict[str, Tensor]

    def of_images(self, name: str) -> list[Tensor]:
        """The tensors `<name>.<chunk>` in the order of the chunks."""
        places = [place for place, chunk in enumerate(self.finished.chunks) if chunk.type == "image"]
        return [self.tensors[f"{name}.{place}"] for place in places]

    def pixels(self) -> list[list[Tensor]]:
        """For each image chunk the bytes of its slices."""
        chunks = [(place, chunk) for place, chunk in enumerate(self.finished.chunks) if chunk.type == "image"]
        return [
            [self.tensors[f"pixels.{place}.{number}.u8"] for number in range(len(chunk.slices))]
            for place, chunk in chunks
        ]


def ask(engine: mtmd_cli.Engine, case: Case) -> Answer:
    """Put the prompt of a case to an engine, greedily, for as many tokens as the reference generated."""
    said, trace = case.said, mtmd_cli.Trace()
    events = list(
        engine.stream(
            said["prompt"],
            case.images(),
            system=said.get("system"),
            chat=said["chat"],
            sampling=mtmd_cli.Sampling(temperature=0),
            max_tokens=len(said["greedy_tokens"]),
            trace=trace,
        )
    )
    finished = events[-1]
    assert isinstance(finished, mtmd_cli.Finished)
    return Answer(finished, trace.tensors)
