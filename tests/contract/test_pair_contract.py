"""What every pair of a projector and a language model promises together, on tiny files with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mtmd_cli
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.vision.registry import VISION_FAMILIES
from tests.tiny.outline import architecture, outlines, write_tiny

LANGUAGES = {path.stem: path for path in outlines("language")}
REGISTERED = {family.name for family in VISION_FAMILIES} | {family.name for family in LANGUAGE_FAMILIES}
PAIRS = [
    (path, LANGUAGES[path.stem])
    for path in outlines("vision")
    if path.stem in LANGUAGES and {architecture(path), architecture(LANGUAGES[path.stem])} <= REGISTERED
]
PLAIN: dict[str, Any] = {
    "device": "cpu",
    "dtype": "f32",
    "flash_attn": "off",
    "cache_type_k": "f32",
    "cache_type_v": "f32",
    "image_min_tokens": 1,
    "image_max_tokens": 32,
}
NEAR = 1e-4  # of the largest logit: float32 in another order, through a tower and a decoder


@pytest.fixture(scope="module", params=PAIRS, ids=[vision.stem for vision, _ in PAIRS])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pair")
    vision, language = request.param
    return {
        "model": write_tiny(language, folder / "text.gguf"),
        "mmproj": write_tiny(vision, folder / "mmproj.gguf"),
    }


def ask(files: dict[str, Path], **settings: Any) -> tuple[mtmd_cli.Finished, torch.Tensor]:
    """Two pictures without a word between them, and a question behind."""
    engine = mtmd_cli.load(**{**files, **PLAIN, **settings})
    images = [Image.linear_gradient("L").resize((60, 90)), Image.radial_gradient("L").resize((150, 50))]
    trace, greedy = mtmd_cli.Trace(), mtmd_cli.Sampling(temperature=0)
    *_, finished = engine.stream("What?", images, chat=False, sampling=greedy, max_tokens=4, trace=trace)
    assert isinstance(finished, mtmd_cli.Finished)
    return finished, trace.tensors["logits"]


def test_two_pictures_side_by_side(files: dict[str, Path]) -> None:
    finished, logits = ask(files)
    assert logits.isfinite().all()
    pictures = {chunk.image for chunk in finished.chunks if chunk.type == "image"}
    assert pictures == {0, 1}
    ends = [0, *(chunk.pos_end for chunk in finished.chunks)]
    assert [chunk.pos_0 for chunk in finished.chunks] == ends[:-1], "a gap between positions"
    assert finished.chunks[-1].type == "text"


@pytest.mark.parametrize(
    "settings", [{"ubatch": 5}, {"flash_attn": "on"}], ids=["in small batches", "with flash attention"]
)
def test_the_same_answer_in_another_way(files: dict[str, Path], settings: dict[str, Any]) -> None:
    (finished, logits), (again, others) = ask(files), ask(files, **settings)
    assert again.chunks == finished.chunks
    assert float((others[0] - logits[0]).abs().max() / logits[0].abs().max()) <= NEAR
