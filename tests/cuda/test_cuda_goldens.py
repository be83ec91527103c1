"""A CUDA device gives the answers of the CPU: f32 to a thousandth, bf16 nearly always the same token.

Run with `-s` it prints the figures of every folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import mtmd_cli
from tests.golden.cases import Answer, Case, ask, golden_cases, golden_folders, is_registered

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

FOLDERS = [folder.name for folder in golden_folders() if is_registered(folder)]


class Dictated:
    """Samples what it was told, and counts how often it would have said the same."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = iter(tokens)
        self.agreed = 0

    def sample(self, logits: Tensor) -> int:
        token = next(self.tokens)
        self.agreed += int(logits.argmax()) == token
        return token


def main_cases(folder: str) -> Iterator[Case]:
    return (case for case in golden_cases() if case.family == folder and not case.name.endswith(".fa"))


def load(case: Case, **changes: Any) -> mtmd_cli.Engine:
    return mtmd_cli.load(**(case.settings() | changes))


def apart(ours: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("folder", FOLDERS)
def test_f32_equals_the_cpu(folder: str) -> None:
    embeddings = logits = 0.0
    for case in main_cases(folder):
        expected: Answer = ask(load(case), case)
        ours: Answer = ask(load(case, device="cuda"), case)
        assert ours.finished.chunks == expected.finished.chunks
        for mine, theirs in zip(ours.of_images("embd"), expected.of_images("embd"), strict=True):
            embeddings = max(embeddings, apart(mine, theirs))
        logits = max(logits, apart(ours.tensors["logits"][0], expected.tensors["logits"][0]))
    print(f"\n{folder:18} embeddings {embeddings:.1e}  logits {logits:.1e}")
    assert max(embeddings, logits) <= 1e-3


def test_bf16_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed = total = 0
    for folder in FOLDERS:
        own = [0, 0]
        for case in main_cases(folder):
            engine = load(case, device="cuda", dtype="bf16", flash_attn="auto")
            dictated = Dictated(case.said["greedy_tokens"])
            monkeypatch.setattr(engine, "_sampler", lambda *_, chosen=dictated, **__: chosen)
            ask(engine, case)
            own = [own[0] + dictated.agreed, own[1] + len(case.said["greedy_tokens"])]
        print(f"\n{folder:18} bf16 {own[0]}/{own[1]}", end="")
        agreed, total = agreed + own[0], total + own[1]
    print(f"\n{'all':18} bf16 {agreed}/{total} = {agreed / total:.1%}")
    assert agreed >= 0.9 * total
