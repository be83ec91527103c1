"""Tokens that may come next, and the steps that leave fewer of them or change their weight.

Each step takes candidates and gives candidates, and gives back the same when its setting is off. They do what
src/llama-sampler.cpp does. A vocabulary of 260 thousand is searched by blocks and never sorted where a few will do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Places: TypeAlias = NDArray[np.intp]

BLOCKS: Final = 512
MIROSTAT_TOKENS: Final = 100
HOTTEST: Final = 1e30  # where all are equal already; -inf stays what it is


@dataclass(frozen=True)
class Candidates:
    """logits: float32 (candidates,); ids: their tokens, None for the whole vocabulary; ordered: the best first."""

    logits: Floats
    ids: Places | None = None
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.logits)

    def at(self, places: Places, *, ordered: bool = False) -> Candidates:
        ids = places if self.ids is None else self.ids[places]
        return Candidates(self.logits[places], ids, ordered)

    def head(self, count: int) -> Candidates:
        """The `count` best, in order."""
        places = np.arange(min(count, len(self))) if self.ordered else best_places(self.logits, count)
        return self.at(places, ordered=True)

    def best(self) -> Candidates:
        return self.at(np.array([self.logits.argmax()]), ordered=True)

    def with_logits(self, logits: Floats, *, ordered: bool = False) -> Candidates:
        return Candidates(logits, self.ids, ordered)

    def locate(self, tokens: Places) -> tuple[Places, Places]:
        """Where some of `tokens` (all different) stand here, and which of them stand there."""
        if self.ids is None:
            return tokens, np.arange(len(tokens))
        _, places, which = np.intersect1d(self.ids, tokens, assume_unique=True, return_indices=True)
        return places, which

    def probabilities(self) -> NDArray[np.float64]:
        weights = np.exp(self.logits - self.logits.max()).astype(np.float64)
        return weights / weights.sum()


def best_places(logits: Floats, count: int) -> Places:
    """The places of the `count` largest logits, the largest first; the earlier of equals first."""
    places = np.arange(len(logits))
    if count < len(logits) and count <= BLOCKS:
        width = len(logits) // BLOCKS
        if width > 1:
            peaks = logits[: BLOCKS * width].reshape(BLOCKS, width).max(axis=1)
            # As many blocks have a peak from here on, so as many logits lie there at least.
            places = np.flatnonzero(logits >= np.partition(peaks, BLOCKS - count)[BLOCKS - count])
    return places[np.argsort(-logits[places], kind="stable")[:count]]


def top_k(candidates: Candidates, count: int) -> Candidates:
    return candidates.head(count) if count > 0 else candidates


def top_p(candidates: Candidates, share: float, min_keep: int = 0) -> Candidates:
    """Keep the best until they hold `share` of the probability."""
    if share >= 1:
        return candidates
    # Values sort ten times as fast as places, and how many are needed is all that the order tells.
    descending = candidates.logits if candidates.ordered else np.sort(candidates.logits)[::-1]
    held = np.exp(descending - descending[0]).cumsum(dtype=np.float64)
    needed = max(int(np.searchsorted(held, share * held[-1])) + 1, min_keep)
    if needed >= len(candidates):
        return candidates
    if candidates.ordered or needed <= BLOCKS:
        return candidates.head(needed)
    return candidates.at(np.argpartition(-candidates.logits, needed - 1)[:needed])


def min_p(candidates: Candidates, share: float, min_keep: int = 0) -> Candidates:
    """Keep what is at least `share` times as probable as the best."""
    if share <= 0:
        return candidates
    limit = candidates.logits.max() + np.float32(math.log(share))
    places = np.flatnonzero(candidates.logits >= limit)
    if len(places) >= max(min_keep, 1):
        return candidates.at(places, ordered=candidates.ordered)
    return candidates.head(max(min_keep, 1))


def typical(candidates: Candidates, share: float, min_keep: int = 0) -> Candidates:
    """Keep those whose surprise is nearest to the expected one, until they hold more than `share`."""
    if share >= 1:
        return candidates
    probabilities = candidates.probabilities()
    with np.errstate(divide="ignore"):
        surprise = -np.log(probabilities)
    seen = probabilities > 0
    entropy = (probabilities[seen] * surprise[seen]).sum()
    nearest = np.argsort(np.abs(surprise - entropy))
    held = probabilities[nearest].cumsum()
    needed = max(int(np.searchsorted(held, share, side="right")) + 1, min_keep)
    return candidates.at(nearest[:needed])


def top_n_sigma(candidates: Candidates, deviations: float) -> Candidates:
    """Forbid what lies further below the best than so many standard deviations of the logits."""
    if deviations <= 0 or len(candidates) <= 1:
        return candidates
    logits = candidates.logits
    allowed = logits[logits > -np.inf]
    limit = allowed.max() - np.float32(deviations) * allowed.std()
    return candidates.with_logits(np.where(logits < limit, -np.inf, logits), ordered=candidates.ordered)


def leave_out_best(candidates: Candidates, threshold: float, min_keep: int = 0) -> Candidates:
    """XTC: of the tokens as probable as `threshold`, keep the least probable only."""
    if threshold > 0.5 or len(candidates) < 2:
        return candidates
    ordered = candidates.head(len(candidates))
    last = int((ordered.probabilities() >= threshold).sum()) - 1
    if last <= 0 or len(ordered) - last < min_keep:
        return ordered
    return ordered.at(np.arange(last, len(ordered)), ordered=True)


def temper(candidates: Candidates, temperature: float, spread: float = 0.0, exponent: float = 1.0) -> Candidates:
    """Divide the logits by a temperature, which lies the higher within `spread` the higher the entropy."""
    if spread > 0:
        if len(candidates) <= 1:
            return candidates
        probabilities = candidates.probabilities()
        seen = probabilities[probabilities > 0]
        if len(seen) == 1:
            return candidates.best()
        entropy = -(seen * np.log(seen)).sum() / math.log(len(candidates))
        low, high = max(0.0, temperature - spread), temperature + spread
        temperature = min(float(low + (high - low) * np.power(entropy, exponent)), HOTTEST)
    if temperature <= 0:
        return candidates.best()
    return candidates.with_logits(candidates.logits / np.float32(temperature), ordered=candidates.ordered)


def mirostat(candidates: Candidates, mu: float, vocab_size: int) -> Candidates:
    """Keep as many as let the surprise be `mu`, after the slope of the best hundred (a Zipf distribution)."""
    slope = _zipf_slope(candidates.head(MIROSTAT_TOKENS).logits)
    excess = slope - 1
    with np.errstate(all="ignore"):
        count = np.power(excess * np.exp2(mu) / (1 - np.power(float(vocab_size), -excess)), 1 / slope)
    return candidates.head(int(min(count, len(candidates))) if count >= 1 else 1)


def _zipf_slope(logits: Floats) -> np.float64:
    ranks = np.arange(1, len(logits), dtype=np.float64)
    steps = np.log((ranks + 1) / ranks)
    with np.errstate(all="ignore"):
        return np.float64((steps * -np.diff(logits.astype(np.float64))).sum() / (steps**2).sum())


def mirostat2(candidates: Candidates, mu: float) -> Candidates:
    """Keep those whose surprise is at most `mu` bits."""
    with np.errstate(divide="ignore"):
        places = np.flatnonzero(-np.log2(candidates.probabilities()) <= mu)
    return candidates.at(places) if len(places) else candidates.best()
