"""The whole chain draws from the distribution that a slow restatement of llama.cpp's samplers gives."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmd_cli.pipeline.sampler import SAMPLERS, Sampler, Sampling

Row = tuple[int, float]  # token, logit
Rows = list[Row]


def softmax(rows: Rows) -> list[float]:
    peak = max(logit for _, logit in rows)
    weights = [math.exp(logit - peak) for _, logit in rows]
    return [weight / sum(weights) for weight in weights]


def ordered(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: -row[1])


def penalties(rows: Rows, s: Sampling, recent: Sequence[int]) -> Rows:
    counts = Counter(recent[max(0, len(recent) - s.repeat_last_n) :])
    changed = []
    for token, logit in rows:
        if (count := counts[token]) > 0:
            logit = logit * s.repeat_penalty if logit <= 0 else logit / s.repeat_penalty
            logit -= count * s.frequency_penalty + s.presence_penalty
        changed.append((token, logit))
    return changed


def dry(rows: Rows, s: Sampling, recent: Sequence[int]) -> Rows:
    """For each token, the longest end of what came before that the token has followed already."""
    recent = recent[max(0, len(recent) - s.dry_penalty_last_n) :]
    longest: dict[int, int] = {}
    for place in range(1, len(recent)):
        length = 0
        while length < place and recent[place - 1 - length] == recent[len(recent) - 1 - length]:
            length += 1
        longest[recent[place]] = max(longest.get(recent[place], 0), length)
    return [
        (token, logit - s.dry_multiplier * s.dry_base ** (longest[token] - s.dry_allowed_length))
        if longest.get(token, -1) >= s.dry_allowed_length
        else (token, logit)
        for token, logit in rows
    ]


def top_n_sigma(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    if s.top_n_sigma <= 0 or len(rows) <= 1:
        return rows
    allowed = [logit for _, logit in rows if logit > -math.inf]
    mean = sum(allowed) / len(allowed)
    deviation = math.sqrt(sum((logit - mean) ** 2 for logit in allowed) / len(allowed))
    limit = max(allowed) - s.top_n_sigma * deviation
    return [(token, logit if logit >= limit else -math.inf) for token, logit in rows]


def top_k(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    return ordered(rows)[: s.top_k] if s.top_k > 0 else rows


def typ_p(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    if s.typical_p >= 1:
        return rows
    probabilities = softmax(rows)
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    away = [abs(-math.log(p) - entropy) if p > 0 else math.inf for p in probabilities]
    kept, held = [], 0.0
    for place in sorted(range(len(rows)), key=away.__getitem__):
        kept.append(rows[place])
        held += probabilities[place]
        if held > s.typical_p and len(kept) >= s.min_keep:
            break
    return kept


def top_p(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    if s.top_p >= 1:
        return rows
    rows = ordered(rows)
    kept, held = [], 0.0
    for row, p in zip(rows, softmax(rows), strict=True):
        kept.append(row)
        held += p
        if held >= s.top_p and len(kept) >= s.min_keep:
            break
    return kept


def min_p(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    if s.min_p <= 0:
        return rows
    rows = ordered(rows)
    limit = rows[0][1] + math.log(s.min_p)
    return [row for place, row in enumerate(rows) if place < max(1, s.min_keep) or row[1] >= limit]


def xtc(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    """What happens when the dice say so."""
    if s.xtc_threshold > 0.5 or len(rows) < 2:
        return rows
    rows = ordered(rows)
    last = sum(p >= s.xtc_threshold for p in softmax(rows)) - 1
    return rows[last:] if last > 0 and len(rows) - last >= s.min_keep else rows


def temperature(rows: Rows, s: Sampling, _: Sequence[int]) -> Rows:
    t = s.temperature
    if s.dynatemp_range > 0:
        if len(rows) <= 1:
            return rows
        entropy = -sum(p * math.log(p) for p in softmax(rows) if p > 0) / math.log(len(rows))
        low, high = max(0.0, t - s.dynatemp_range), t + s.dynatemp_range
        t = low + (high - low) * entropy**s.dynatemp_exponent
    return ordered(rows)[:1] if t <= 0 else [(token, logit / t) for token, logit in rows]


STEPS: dict[str, Callable[[Rows, Sampling, Sequence[int]], Rows]] = {
    "penalties": penalties,
    "dry": dry,
    "top_n_sigma": top_n_sigma,
    "top_k": top_k,
    "typ_p": typ_p,
    "top_p": top_p,
    "min_p": min_p,
    "xtc": xtc,
    "temperature": temperature,
}


def slow_distribution(logits: torch.Tensor, s: Sampling, recent: Sequence[int]) -> np.ndarray[Any, Any]:
    total = np.zeros(len(logits))
    for exclude, share in ((False, 1 - s.xtc_probability), (True, s.xtc_probability)):
        rows = [(token, logit + s.logit_bias.get(token, 0.0)) for token, logit in enumerate(logits.tolist())]
        for name in s.samplers:
            if name != "xtc" or exclude:
                rows = STEPS[name](rows, s, recent)
        for (token, _), p in zip(rows, softmax(rows), strict=True):
            total[token] += share * p
    return total


def distribution(logits: torch.Tensor, s: Sampling, recent: Sequence[int]) -> np.ndarray[Any, Any]:
    sampler = Sampler(s, vocab_size=len(logits))
    for token in recent:
        sampler.accept(token)
    ids, probabilities = sampler.probabilities(logits)
    assert len(set(ids.tolist())) == len(ids)
    total = np.zeros(len(logits))
    total[ids] = probabilities
    return total


def random_logits(size: int, seed: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


SETTINGS = {
    "default": {},
    "greedy": {"temperature": 0},
    "below zero": {"temperature": -1},
    "everything": {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0},
    "top-k": {"temperature": 1, "top_k": 5, "top_p": 1, "min_p": 0},
    "top-p alone": {"temperature": 1.3, "top_k": 0, "top_p": 0.9, "min_p": 0},
    "top-p of nothing": {"temperature": 1, "top_k": 0, "top_p": 0, "min_p": 0},
    "min-p alone": {"temperature": 2, "top_k": 0, "top_p": 1, "min_p": 0.02},
    "min-p of all": {"temperature": 2, "top_k": 0, "top_p": 1, "min_p": 1.5},
    "typical": {"temperature": 1, "top_k": 0, "typical_p": 0.6},
    "typical after top-k": {"temperature": 1, "typical_p": 0.3},
    "sigma": {"temperature": 1.5, "top_n_sigma": 1, "top_k": 0},
    "sigma and typical": {"temperature": 1, "top_n_sigma": 0.5, "typical_p": 0.9},
    "xtc": {"temperature": 1, "xtc_probability": 0.4, "xtc_threshold": 0.05},
    "xtc always": {"temperature": 1, "xtc_probability": 1, "xtc_threshold": 0.1},
    "xtc never": {"temperature": 1, "xtc_probability": 1, "xtc_threshold": 0.6},
    "dynamic": {"temperature": 1, "dynatemp_range": 0.8, "dynatemp_exponent": 2},
    "dynamic from zero": {"temperature": 0, "dynatemp_range": 0.8},
    "min-keep": {"temperature": 1, "top_p": 0.01, "min_p": 0.9, "typical_p": 0.01, "min_keep": 7},
    "penalties": {"temperature": 1, "repeat_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.2},
    "short memory": {"temperature": 1, "repeat_penalty": 1.3, "repeat_last_n": 3},
    "no memory": {"temperature": 1, "repeat_penalty": 1.3, "repeat_last_n": 0},
    "reward": {"temperature": 1, "presence_penalty": -1},
    "dry": {"temperature": 1, "dry_multiplier": 0.8},
    "dry at once": {"temperature": 1, "dry_multiplier": 0.5, "dry_allowed_length": 0, "dry_base": 1},
    "bias": {"temperature": 1, "logit_bias": {3: 2.5, 4: -math.inf, 5: -1}},
    "no samplers": {"samplers": ()},
    "penalties last": {"temperature": 1, "repeat_penalty": 1.5, "samplers": ("top_k", "temperature", "penalties")},
    "temperature first": {"temperature": 2, "samplers": ("temperature", "min_p", "top_p")},
    "top-p after typical": {"temperature": 1, "typical_p": 0.8, "top_p": 0.5, "samplers": ("typ_p", "top_p")},
    "twice": {"top_k": 9, "temperature": 2, "samplers": ("top_k", "temperature", "temperature")},
}
RECENT = [1, 2, 3, 4, 1, 2, 3, 9, 9, 1, 2, 3]


@pytest.mark.parametrize("size", [12, 700, 3000])
@pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)
def test_draws_from_the_reference_distribution(given: dict[str, Any], size: int) -> None:
    s = Sampling(**given)
    logits = random_logits(size, seed=size)
    np.testing.assert_allclose(distribution(logits, s, RECENT), slow_distribution(logits, s, RECENT), atol=2e-6)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**20), size=st.integers(1, 40), draw=st.randoms(use_true_random=False))
def test_any_settings_in_any_order(seed: int, size: int, draw: random.Random) -> None:
    s = Sampling(
        temperature=draw.choice([0, 0.5, 1, 3]),
        top_k=draw.choice([0, 1, 4, 40]),
        top_p=draw.choice([0.3, 0.9, 1]),
        min_p=draw.choice([0, 0.07, 0.4]),
        typical_p=draw.choice([0.25, 0.85, 1]),
        top_n_sigma=draw.choice([-1, 0.7, 1.9]),  # of two logits, the lower lies at 2 exactly
        xtc_probability=draw.choice([0, 0.3, 1]),
        xtc_threshold=draw.choice([0.03, 0.2]),
        dynatemp_range=draw.choice([0, 0.4]),
        repeat_penalty=draw.choice([1, 1.4]),
        frequency_penalty=draw.choice([0, 0.3]),
        dry_multiplier=draw.choice([0, 0.6]),
        min_keep=draw.choice([0, 1, 3]),
        samplers=tuple(draw.sample(list(SAMPLERS), draw.randint(0, len(SAMPLERS)))),
    )
    recent = [draw.randrange(min(size, 4)) for _ in range(draw.randint(0, 20))]
    logits = random_logits(size, seed)
    result = distribution(logits, s, recent)
    assert result.sum() == pytest.approx(1)
    np.testing.assert_allclose(result, slow_distribution(logits, s, recent), atol=5e-6)


def test_order_matters() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    first = Sampling(temperature=4, top_p=0.75, samplers=("top_p", "temperature"))
    last = Sampling(temperature=4, top_p=0.75, samplers=("temperature", "top_p"))
    assert np.count_nonzero(distribution(logits, first, [])) == 2
    assert np.count_nonzero(distribution(logits, last, [])) == 3
