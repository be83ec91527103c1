"""How near to the reference an answer must come.

The reference is no exact float32 program: its GELU is a table in f16, its convolutions pass through f16, quantised
weights meet activations of 8 bits, and a wrong choice of expert in a mixture is a jump. Hence bounds by kind of model;
a case whose own two runs lie farther apart is held to that spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.golden.cases import FLOATS, Answer, Case

EMBEDDINGS = 3e-3  # of the largest value
LOGITS = 0.05  # of the standard deviation, for f32 and f16 language models
LOGITS_MIXTURE = 0.1  # and half of it on average
LOGITS_QUANTISED = 0.3
SPREAD = 1.5  # times the distance of the reference's own two runs


@dataclass(frozen=True)
class Score:
    """Distances of one answer, each with its bound. agreed: greedy tokens of `steps` that had to agree."""

    embeddings: float
    embeddings_bound: float
    logits: float
    logits_mean: float
    logits_bound: float
    mixture: bool
    agreed: int
    steps: int


def score(case: Case, answer: Answer) -> Score:
    """Compare the floats and the greedy tokens of an answer with the reference's."""
    expected = case.floats["logits"][0]
    std = float(expected.std())
    difference = (answer.tensors["logits"][0] - expected).abs()
    kind = _logits_kind(case)
    return Score(
        embeddings=max(_distances(case, answer), default=0.0),
        embeddings_bound=max(EMBEDDINGS, SPREAD * case.spread["embd_max_abs_over_max"]),
        logits=float(difference.max()) / std,
        logits_mean=float(difference.mean()) / std,
        logits_bound=max(kind, SPREAD * case.spread["logits_max_abs"] / std),
        mixture=kind == LOGITS_MIXTURE,
        agreed=_agreed(case, answer),
        steps=_comparable_steps(case, float(difference.max())),
    )


def _distances(case: Case, answer: Answer) -> list[float]:
    """The largest difference of each image chunk's embeddings, as a share of the largest value."""
    pairs = zip(case.image_numbers(), answer.of_images("embd"), strict=True)
    stored = [(case.floats[f"embd.{place}"], ours) for place, ours in pairs if f"embd.{place}" in case.floats]
    return [float((ours - expected).abs().max() / expected.abs().max()) for expected, ours in stored]


def _logits_kind(case: Case) -> float:
    file = case.language_file()
    architecture = file.metadata.str("general.architecture")
    if not {tensor.type.name for tensor in file.tensors.values()} <= FLOATS:
        return LOGITS_QUANTISED
    return LOGITS_MIXTURE if file.metadata.int(f"{architecture}.expert_count", 0) else LOGITS


def _comparable_steps(case: Case, logit_error: float) -> int:
    """How many steps the reference decided by more than twice our error; from the next on it may go another way."""
    gaps: list[float] = case.said["top1_top2_gap"]
    return next((step for step, gap in enumerate(gaps) if gap < 2 * logit_error), len(gaps))


def _agreed(case: Case, answer: Answer) -> int:
    pairs = enumerate(zip(case.said["greedy_tokens"], answer.finished.tokens, strict=False))
    return next(
        (step for step, (expected, ours) in pairs if expected != ours),
        min(len(case.said["greedy_tokens"]), len(answer.finished.tokens)),
    )


def same_bytes(expected: list[Tensor], ours: list[Tensor]) -> bool:
    """Whether slices hold the same bytes; the reference stacks the slices of some families into one tall picture."""
    if {picture.shape[1:] for picture in expected} != {picture.shape[1:] for picture in ours}:
        return False
    return torch.equal(torch.cat(expected), torch.cat(ours))
