"""Choose the next token from logits, as llama.cpp's chain of samplers does (common/sampling.cpp)."""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mtmd_cli.errors import MtmdError, UsageError
from mtmd_cli.pipeline.sampling import steps
from mtmd_cli.pipeline.sampling.repetition import Breakers, discourage, dry_penalties, find_breakers, penalise
from mtmd_cli.pipeline.sampling.settings import SAMPLERS, Sampling, samplers_by_letter
from mtmd_cli.pipeline.sampling.steps import Candidates, Places

__all__ = ["SAMPLERS", "Sampler", "Sampling", "samplers_by_letter"]


class Sampler:
    """Choose tokens one after the other; what was chosen bears on what comes next.

    piece: a token's bytes, encode: a text's tokens; DRY alone needs them, to see where a sequence is broken. never:
    tokens that the model must not say. The random numbers are the reference's: equal logits and an equal `seed` give
    its tokens.
    Raises UsageError when a bias names a token that is not there.
    """

    def __init__(
        self,
        settings: Sampling,
        *,
        vocab_size: int,
        piece: Callable[[int], bytes] | None = None,
        encode: Callable[[str], Sequence[int]] | None = None,
        never: Collection[int] = (),
    ) -> None:
        self.settings = settings
        self.vocab_size = vocab_size
        self._biased, self._biases = _all_biases(vocab_size, settings.logit_bias, never)
        self._breakers: Breakers = {}
        if settings.dry_multiplier > 0 and piece is not None:
            self._breakers = find_breakers(settings.dry_sequence_breakers, vocab_size, piece, encode)
        self.reset()

    def reset(self) -> None:
        """Forget what was chosen, and begin the random numbers anew."""
        given = self.settings.seed
        self.seed = secrets.randbits(32) if given is None or given < 0 else given
        self._draws = np.random.RandomState(self.seed)
        self._xtc_draws = np.random.RandomState(self.seed)
        self._mu = 2 * self.settings.mirostat_tau
        self._recent: deque[int] = deque(maxlen=max(self.settings.repeat_last_n, self.settings.dry_penalty_last_n))

    def accept(self, token: int) -> None:
        """Remember a token that was not drawn here."""
        self._recent.append(token)

    def sample(self, logits: Tensor) -> int:
        """Draw a token and remember it. logits: (vocabulary,)"""
        exclude = self.settings.xtc_probability > 0 and self._xtc_chance() <= self.settings.xtc_probability
        ids, probabilities = self._distribution(self._vocabulary(logits), exclude=exclude)
        held = probabilities.cumsum()
        place = min(int(np.searchsorted(held, self._chance() * held[-1])), len(ids) - 1)
        if self.settings.mirostat:
            surprise = -math.log2(probabilities[place])
            self._mu -= self.settings.mirostat_eta * (surprise - self.settings.mirostat_tau)
        token = int(ids[place])
        self.accept(token)
        return token

    def probabilities(self, logits: Tensor) -> tuple[Places, NDArray[np.float64]]:
        """The tokens that `sample` would draw from, and how often it would draw each."""
        vocabulary = self._vocabulary(logits)
        ids, probabilities = self._distribution(vocabulary, exclude=False)
        chance = 0.0 if self.settings.mirostat else self.settings.xtc_probability
        if chance == 0:
            return ids, probabilities
        other_ids, other = self._distribution(vocabulary, exclude=True)
        mixed = np.zeros(self.vocab_size)
        mixed[ids] += (1 - chance) * probabilities
        mixed[other_ids] += chance * other
        ids = np.flatnonzero(mixed)
        return ids, mixed[ids]

    def _vocabulary(self, logits: Tensor) -> Candidates:
        """All tokens with their logits and biases."""
        values = logits.detach().float().cpu().numpy()
        if values.shape != (self.vocab_size,):
            raise ValueError(f"logits have the shape {values.shape}, not ({self.vocab_size},)")
        if len(self._biased):
            values = values.copy()
            values[self._biased] += self._biases
        if not math.isfinite(values.max()):
            raise MtmdError(
                f"the model's best logit is {values.max()}", hint="its numbers overflowed: --dtype f32 has more room"
            )
        return Candidates(values)

    def _distribution(self, candidates: Candidates, *, exclude: bool) -> tuple[Places, NDArray[np.float64]]:
        settings = self.settings
        if settings.mirostat:
            candidates = steps.temper(candidates, settings.temperature)
            if settings.mirostat == 1:
                candidates = steps.mirostat(candidates, self._mu, self.vocab_size)
            else:
                candidates = steps.mirostat2(candidates, self._mu)
        else:
            for name in settings.samplers:
                candidates = self._step(name, candidates, exclude)
        ids = np.arange(self.vocab_size) if candidates.ids is None else candidates.ids
        return ids, candidates.probabilities()

    def _step(self, name: str, candidates: Candidates, exclude: bool) -> Candidates:
        settings = self.settings
        match name:
            case "penalties":
                return penalise(
                    candidates,
                    self._last(settings.repeat_last_n),
                    repeat=settings.repeat_penalty,
                    presence=settings.presence_penalty,
                    frequency=settings.frequency_penalty,
                )
            case "dry":
                return discourage(candidates, self._dry_penalties())
            case "top_n_sigma":
                return steps.top_n_sigma(candidates, settings.top_n_sigma)
            case "top_k":
                return steps.top_k(candidates, settings.top_k)
            case "typ_p":
                return steps.typical(candidates, settings.typical_p, settings.min_keep)
            case "top_p":
                return steps.top_p(candidates, settings.top_p, settings.min_keep)
            case "min_p":
                return steps.min_p(candidates, settings.min_p, settings.min_keep)
            case "xtc":
                return (
                    steps.leave_out_best(candidates, settings.xtc_threshold, settings.min_keep)
                    if exclude
                    else candidates
                )
        return steps.temper(candidates, settings.temperature, settings.dynatemp_range, settings.dynatemp_exponent)

    def _dry_penalties(self) -> dict[int, float]:
        settings = self.settings
        if settings.dry_multiplier == 0:
            return {}
        return dry_penalties(
            self._last(settings.dry_penalty_last_n),
            self._breakers,
            multiplier=settings.dry_multiplier,
            base=settings.dry_base,
            allowed_length=settings.dry_allowed_length,
        )

    def _last(self, count: int) -> list[int]:
        return list(islice(self._recent, max(0, len(self._recent) - count), None))

    def _chance(self) -> float:
        # std::uniform_real_distribution<double> over std::mt19937 takes the low half first.
        low, high = self._draws.randint(0, 2**32, size=2, dtype=np.uint32).tolist()
        return min((low + high * 2**32) / 2**64, math.nextafter(1, 0))

    def _xtc_chance(self) -> float:
        return int(self._xtc_draws.randint(0, 2**32, dtype=np.uint32)) / 2**32


def _all_biases(
    vocab_size: int, given: Mapping[int, float], never: Collection[int]
) -> tuple[Places, NDArray[np.float32]]:
    """The tokens with a bias, and their biases."""
    biases = {**given, **dict.fromkeys(never, -math.inf)}
    for token in biases:
        if not 0 <= token < vocab_size:
            hint = f"this model's tokens go from 0 to {vocab_size - 1}"
            raise UsageError(f"there is no token {token} to bias", hint=hint)
    return np.fromiter(biases, dtype=np.intp), np.fromiter(biases.values(), dtype=np.float32)
