"""Penalties for what was said before: single tokens, and sequences (DRY)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtmd_cli.pipeline.sampler import Sampler, Sampling
from mtmd_cli.pipeline.sampling.repetition import Breakers, dry_penalties, find_breakers, penalise
from mtmd_cli.pipeline.sampling.steps import Candidates

A, B, C, D, STOP = range(5)


@pytest.mark.parametrize(
    ("recent", "repeat", "presence", "frequency", "logits"),
    [
        ([], 2, 1, 1, [4, -4, 0]),
        ([0], 2, 0, 0, [2, -4, 0]),
        ([1, 2], 2, 0, 0, [4, -8, 0]),  # a negative logit is multiplied, or it would become likelier
        ([0, 0, 1], 1, 0.5, 0, [3.5, -4.5, 0]),
        ([0, 0, 1], 1, 0, 0.5, [3, -4.5, 0]),
        ([0, 0, 2], 2, 0.25, 0.5, [0.75, -4, -0.75]),
    ],
)
def test_penalties(recent: list[int], repeat: float, presence: float, frequency: float, logits: list[float]) -> None:
    candidates = Candidates(np.array([4, -4, 0], dtype=np.float32))
    changed = penalise(candidates, recent, repeat=repeat, presence=presence, frequency=frequency)
    assert changed.logits.tolist() == logits


def test_penalties_find_their_tokens_among_few() -> None:
    candidates = Candidates(np.array([3, 2], dtype=np.float32), ids=np.array([7, 5]), ordered=True)
    changed = penalise(candidates, [5, 6], repeat=1, presence=1, frequency=0)
    assert changed.logits.tolist() == [3, 1]


def lengths(recent: list[int], breakers: Breakers | None = None, allowed: int = 1) -> dict[int, int]:
    """The lengths of the sequences that tokens would carry on: with base 2 the penalty is 2^(length - allowed)."""
    penalties = dry_penalties(recent, breakers or {}, multiplier=1, base=2, allowed_length=allowed)
    return {token: round(np.log2(penalty)) + allowed for token, penalty in penalties.items()}


@pytest.mark.parametrize(
    ("recent", "allowed", "carried_on"),
    [
        ([A, B, C, A, B], 1, {C: 2}),
        ([A, B, C, A, B], 2, {C: 2}),
        ([A, B, C, A, B], 3, {}),
        ([A, B, C, C, B, C, D, A, B, C], 1, {C: 3, B: 1, D: 2}),
        ([A, A, A, A], 1, {A: 3}),
        ([A, B, A, B, A], 1, {B: 3}),
        ([A, B, C, D], 1, {}),
        ([A, A], 2, {}),
        ([], 0, {}),
    ],
)
def test_longest_repetition_that_a_token_would_carry_on(
    recent: list[int], allowed: int, carried_on: dict[int, int]
) -> None:
    assert lengths(recent, allowed=allowed) == carried_on


@pytest.mark.parametrize(
    ("recent", "breakers", "carried_on"),
    [
        ([A, STOP, B, C, A, STOP, B], {STOP: [()]}, {C: 1}),  # no longer than what came since
        ([A, STOP, B, A, STOP], {STOP: [()]}, {}),
        ([A, B, STOP, A, B], {STOP: [()]}, {}),  # a breaker itself is never penalised
        ([A, B, C, D, A, B, C], {B: [(C,)]}, {}),  # B C together break
        ([A, B, C, D, A, B, C], {B: [(D,)]}, {D: 3}),
        ([C, A, B, D, C, A, B], {C: [(A,), ()]}, {D: 1}),  # the longer one counts
    ],
)
def test_breakers_end_sequences(recent: list[int], breakers: Breakers, carried_on: dict[int, int]) -> None:
    assert lengths(recent, breakers) == carried_on


def test_penalty_does_not_overflow() -> None:
    penalties = dry_penalties([A] * 3000, {}, multiplier=1, base=1.75, allowed_length=2)
    assert penalties[A] == pytest.approx(1.75 ** int(88.7228391 / np.log(1.75)))


def test_breakers_are_found_in_and_across_tokens() -> None:
    pieces = [b"a", b"\n", b"x\n\n", b"b*", b"**", b"bc*d"]

    def encode(text: str) -> list[int]:
        return {"*": [10], "**": [11], "*d": [12, 13]}[text]

    assert find_breakers(["\n"], 6, pieces.__getitem__) == {1: [()], 2: [()]}
    assert find_breakers(["***"], 6, pieces.__getitem__) == {}
    assert find_breakers(["***"], 6, pieces.__getitem__, encode) == {3: [(11,)], 4: [(10,), (11,)]}
    assert find_breakers(["c*d", ""], 6, pieces.__getitem__, encode) == {5: [()]}


@pytest.mark.parametrize(
    ("stop", "share"),
    [
        (b"e", 0),  # "abce" came before, and "d" followed it
        (b":", 1 / 5),  # a colon breaks the sequence, so that "d" may follow it again
    ],
)
def test_sampler_uses_the_breakers_of_its_vocabulary(stop: bytes, share: float) -> None:
    settings = Sampling(temperature=1, top_p=1, min_p=0, dry_multiplier=50, dry_allowed_length=1)
    sampler = Sampler(settings, vocab_size=5, piece=[b"a", b"b", b"c", b"d", stop].__getitem__)
    for token in (A, B, C, STOP, D, A, B, C, STOP):
        sampler.accept(token)
    ids, probabilities = sampler.probabilities(torch.zeros(5))
    assert probabilities[ids == D].sum() == pytest.approx(share, abs=1e-6)
