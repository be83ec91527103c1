"""What a user may say about how tokens are chosen.

Names, order and defaults are llama.cpp's (common/common.h), the temperature that of llama-mtmd-cli. Nothing here
needs torch, so that a command line can check its flags early.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mtmd_cli.errors import UsageError

SAMPLERS: Final[Mapping[str, str]] = {
    "penalties": "e",
    "dry": "d",
    "top_n_sigma": "s",
    "top_k": "k",
    "typ_p": "y",
    "top_p": "p",
    "min_p": "m",
    "xtc": "x",
    "temperature": "t",
}
"""The samplers in the order in which they run by default, each with its letter."""

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (-math.inf, math.inf),
    "min_keep": (0, math.inf),
    "top_p": (-math.inf, math.inf),
    "min_p": (-math.inf, math.inf),
    "typical_p": (-math.inf, math.inf),
    "top_n_sigma": (-math.inf, math.inf),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "dynatemp_range": (0, math.inf),
    "dynatemp_exponent": (-math.inf, math.inf),
    "repeat_last_n": (0, math.inf),
    "repeat_penalty": (1e-30, 1e30),
    "presence_penalty": (-math.inf, math.inf),
    "frequency_penalty": (-math.inf, math.inf),
    "dry_multiplier": (0, math.inf),
    "dry_base": (1, math.inf),
    "dry_allowed_length": (0, math.inf),
    "dry_penalty_last_n": (0, math.inf),
    "mirostat": (0, 2),
    "mirostat_tau": (0, math.inf),
    "mirostat_eta": (0, math.inf),
}


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; every setting at its default does what llama-mtmd-cli does.

    Raises UsageError, naming the setting, when one is out of its range.
    """

    temperature: float = 0.2  # 0 and below always take the likeliest token
    top_k: int = 40  # 0 and below keep all
    top_p: float = 0.95  # 1 is off
    min_p: float = 0.05  # 0 is off
    typical_p: float = 1.0  # 1 is off
    top_n_sigma: float = -1.0  # 0 and below are off
    xtc_probability: float = 0.0  # how often the likeliest are left out
    xtc_threshold: float = 0.1  # the probability from which a token is one of them; above 0.5 is off
    dynatemp_range: float = 0.0  # how far the temperature follows the entropy
    dynatemp_exponent: float = 1.0
    repeat_last_n: int = 64  # the tokens that the three penalties look at
    repeat_penalty: float = 1.0  # 1 is off
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0  # 0 is off
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0  # 1 or 2 choose by surprise instead of `samplers`
    mirostat_tau: float = 5.0  # the surprise that it aims at, in bits
    mirostat_eta: float = 0.1
    min_keep: int = 0  # top_p, min_p, typical_p and xtc leave at least so many
    samplers: tuple[str, ...] = tuple(SAMPLERS)
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added to the logits before all else; -inf forbids
    seed: int | None = None  # None and -1 take another each time

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{name} is {value}", hint=f"{name} must be {_between(low, high)}")
        for name in self.samplers:
            if name not in SAMPLERS:
                near = difflib.get_close_matches(name, SAMPLERS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SAMPLERS)}"
                raise UsageError(f"there is no sampler {name!r}", hint=hint)
        for token, bias in self.logit_bias.items():
            if math.isnan(bias) or bias == math.inf:
                raise UsageError(f"the bias of token {token} is {bias}", hint="give a number, or -inf to forbid it")
        if self.seed is not None and not -1 <= self.seed < 2**32:
            raise UsageError(f"seed is {self.seed}", hint="seed must be between 0 and 4294967295, or -1")


def samplers_by_letter(letters: str) -> tuple[str, ...]:
    """The samplers that a word such as `edskypmxt` spells, in its order."""
    names = {letter: name for name, letter in SAMPLERS.items()}
    for letter in letters:
        if letter not in names:
            table = ", ".join(f"{letter} {name}" for letter, name in names.items())
            raise UsageError(f"there is no sampler with the letter {letter!r}", hint=f"there are {table}")
    return tuple(names[letter] for letter in letters)


def _between(low: float, high: float) -> str:
    if low == -math.inf:
        return "a finite number"
    return f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"
