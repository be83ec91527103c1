"""What speaks against a token because of the tokens before it: penalties and DRY (src/llama-sampler.cpp)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from mtmd_cli.pipeline.sampling.steps import Candidates

BREAKER_BYTES: Final = 40
TAIL_TOKENS: Final = 20
LARGEST_EXPONENT: Final = 88.7228391  # of e, in float32

Breakers: TypeAlias = Mapping[int, Sequence[tuple[int, ...]]]
"""By the token with which a breaker begins, the tokens with which it may go on; () when it is there already."""


def penalise(
    candidates: Candidates, recent: Sequence[int], *, repeat: float, presence: float, frequency: float
) -> Candidates:
    """Make tokens that have come less likely: once for having come, and by how often they came."""
    if not recent or (repeat == 1 and presence == 0 and frequency == 0):
        return candidates
    tokens, counts = np.unique(np.array(recent, dtype=np.intp), return_counts=True)
    places, which = candidates.locate(tokens)
    logits = candidates.logits.copy()
    heard = logits[places]
    heard = np.where(heard <= 0, heard * np.float32(repeat), heard / np.float32(repeat))
    logits[places] = heard - (counts[which] * frequency + presence).astype(np.float32)
    return candidates.with_logits(logits)


def discourage(candidates: Candidates, penalties: Mapping[int, float]) -> Candidates:
    """Subtract each token's penalty from its logit."""
    if not penalties:
        return candidates
    places, which = candidates.locate(np.fromiter(penalties, dtype=np.intp))
    logits = candidates.logits.copy()
    logits[places] -= np.fromiter(penalties.values(), dtype=np.float32)[which]
    return candidates.with_logits(logits)


def dry_penalties(
    recent: Sequence[int], breakers: Breakers, *, multiplier: float, base: float, allowed_length: int
) -> dict[int, float]:
    """The tokens that would carry on a sequence which came before, and what each costs: more the longer it is."""
    if len(recent) <= allowed_length:
        return {}
    backwards = list(reversed(recent))
    longest = _since_breaker(backwards, breakers)
    if longest < allowed_length:
        return {}
    carried_on: dict[int, int] = {}
    for distance, length in enumerate(_common_prefixes(backwards)):
        if distance > 0 and min(length, longest) >= allowed_length:
            token = backwards[distance - 1]
            carried_on[token] = max(carried_on.get(token, 0), min(length, longest))
    limit = int(LARGEST_EXPONENT / math.log(base)) if base > 1.000001 else 0
    return {
        token: multiplier * base ** (min(length - allowed_length, limit) if limit else length - allowed_length)
        for token, length in carried_on.items()
        if () not in breakers.get(token, ())
    }


def _since_breaker(backwards: Sequence[int], breakers: Breakers) -> int:
    """How many tokens have come since the last breaker ended; a repeated sequence is not longer than that."""
    for place, token in enumerate(backwards):
        lengths = [
            len(tail)
            for tail in breakers.get(token, ())
            if len(tail) <= place and tuple(backwards[place - step] for step in range(1, len(tail) + 1)) == tail
        ]
        if lengths:
            return place - max(lengths)
    return len(backwards)


def _common_prefixes(items: Sequence[int]) -> list[int]:
    """For each place, how long the items from there on equal those from the beginning (Z algorithm, linear)."""
    lengths = [0] * len(items)
    left = right = 0  # the stretch furthest to the right that is known to equal the beginning
    for place in range(1, len(items)):
        length = min(lengths[place - left], right - place) if place < right else 0
        while place + length < len(items) and items[length] == items[place + length]:
            length += 1
        lengths[place] = length
        if place + length > right:
            left, right = place, place + length
    return lengths


def find_breakers(
    texts: Sequence[str],
    vocab_size: int,
    piece: Callable[[int], bytes],
    encode: Callable[[str], Sequence[int]] | None = None,
) -> dict[int, list[tuple[int, ...]]]:
    """The tokens that hold a breaker, and those that end with the beginning of one and what must follow them.

    Without `encode` the latter are left out.
    """
    breakers: dict[int, list[tuple[int, ...]]] = {}
    wanted = [text.encode()[:BREAKER_BYTES] for text in texts if text]
    for token in range(vocab_size):
        word = piece(token)
        for text in wanted:
            tails = breakers.get(token, [])
            if text in word:
                tails = [*tails, ()]
            elif encode is not None:
                for length in range(min(len(text) - 1, len(word)), 0, -1):
                    if word.endswith(text[:length]):
                        tail = tuple(encode(text[length:].decode("utf-8", "replace")))[:TAIL_TOKENS]
                        tails = tails if tail in tails else [*tails, tail]
            if tails:
                breakers[token] = tails
    return breakers
