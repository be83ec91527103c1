"""Every golden case: the reference's chunks, positions and pixels, and floats as near as its own roundings allow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import pytest
import torch

import mtmd_cli
from tests.golden.cases import Case, ask, golden_cases
from tests.golden.rounding import rounding_as_the_reference
from tests.golden.table import ROW, Row
from tests.golden.tolerances import same_bytes, score

CASES = list(golden_cases())
SHARP = {
    "gemma4e",
    "gemma4moe",
    "gemma4v",
    "qwen35moe",
}  # folders where the reference's roundings grow beyond all bounds
Engines = Callable[[Case], mtmd_cli.Engine]


@pytest.fixture(scope="module")
def engine_for() -> Engines:
    """Engines by what a case asks for. Cases come sorted, so a few kept engines serve all."""

    @lru_cache(maxsize=2)
    def load(settings: tuple[tuple[str, Any], ...]) -> mtmd_cli.Engine:
        return mtmd_cli.load(**dict(settings))

    return lambda case: load(tuple(case.settings().items()))


@pytest.mark.parametrize("case", CASES, ids=[f"{case.family}-{case.name}" for case in CASES])
def test_the_answer_equals_the_reference(
    case: Case, engine_for: Engines, record_property: Callable[[str, object], None]
) -> None:
    with rounding_as_the_reference() if case.family in SHARP else nullcontext():
        answer = ask(engine_for(case), case)
    found = score(case, answer)
    record_property(ROW, Row(case.family, found.embeddings, found.logits, found.agreed, found.steps).packed())

    chunks = case.chunks()
    assert [chunk.type for chunk in answer.finished.chunks] == [chunk["type"] for chunk in chunks]
    for ours, expected in zip(answer.finished.chunks, chunks, strict=True):
        names = ("tokens", "pos_0", "pos_end") if ours.type == "text" else ("n_tokens", "nx", "ny", "pos_0", "pos_end")
        assert {name: getattr(ours, name) for name in names} == {
            name: tuple(expected[name]) if name == "tokens" else expected[name] for name in names
        }
    check_images(case, answer.pixels(), answer.of_images("mrope_pos") if case.said["use_mrope"] else [])

    assert found.embeddings <= found.embeddings_bound
    assert found.logits <= found.logits_bound
    assert found.logits_mean <= found.logits_bound / 2 or not found.mixture
    assert found.agreed >= found.steps, (answer.finished.tokens, case.said["greedy_tokens"])


def check_images(case: Case, pixels: list[list[torch.Tensor]], positions: list[torch.Tensor]) -> None:
    """Pixels equal to the byte and positions, wherever the case stores them."""
    for place, slices in zip(case.image_numbers(), pixels, strict=True):
        names = [entry.get("tensor", "") for entry in case.said["chunks"][place]["entries"]]
        stored = [case.pixels[name] for name in names if name in case.pixels]
        assert not stored or same_bytes(stored, slices), f"pixels of chunk {place}"
    for place, ours in zip(case.image_numbers(), positions, strict=bool(positions)):
        expected = case.floats.get(f"mrope_pos.{place}")
        assert expected is None or expected.equal(ours), f"positions of chunk {place}"
