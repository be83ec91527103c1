"""A sampler draws what it says, remembers, begins anew, and refuses what makes no sense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mtmd_cli.errors import MtmdError, UsageError
from mtmd_cli.pipeline.sampler import Sampler, Sampling, samplers_by_letter

LOGITS = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
PLAIN: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def drawn_from(logits: torch.Tensor = LOGITS, **given: Any) -> dict[int, float]:
    ids, probabilities = Sampler(Sampling(**PLAIN | given), vocab_size=len(logits)).probabilities(logits)
    return {int(token): round(float(p), 4) for token, p in zip(ids, probabilities, strict=True) if p > 0}


@pytest.mark.parametrize(
    ("given", "distribution"),
    [
        ({}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}),
        ({"temperature": 0}, {3: 1}),
        ({"temperature": 0.5}, {0: 0.0333, 1: 0.1333, 2: 0.3, 3: 0.5333}),  # squares: 1, 4, 9, 16 of 30
        ({"top_k": 1}, {3: 1}),
        ({"top_k": 3}, {1: 0.2222, 2: 0.3333, 3: 0.4444}),
        ({"top_k": 9}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}),
        ({"top_p": 0}, {3: 1}),
        ({"top_p": 0.69}, {2: 0.4286, 3: 0.5714}),
        ({"top_p": 0.71}, {1: 0.2222, 2: 0.3333, 3: 0.4444}),
        ({"min_p": 0.26}, {1: 0.2222, 2: 0.3333, 3: 0.4444}),
        ({"min_p": 0.74}, {2: 0.4286, 3: 0.5714}),
        ({"min_p": 0.76}, {3: 1}),
        ({"min_p": 0.76, "min_keep": 2}, {2: 0.4286, 3: 0.5714}),
        ({"typical_p": 0.25}, {2: 1}),  # the entropy is 1.28; surprises lie 1.02, 0.33, 0.08, 0.36 away from it
        ({"typical_p": 0.45}, {1: 0.4, 2: 0.6}),
        ({"typical_p": 0.6}, {1: 0.2222, 2: 0.3333, 3: 0.4444}),
        ({"top_n_sigma": 1}, {2: 0.4286, 3: 0.5714}),  # the logits' deviation is 0.52: -0.92, -1.20 | -1.61, -2.30
        ({"xtc_probability": 1, "xtc_threshold": 0.25}, {0: 0.1667, 1: 0.3333, 2: 0.5}),
        ({"xtc_probability": 1, "xtc_threshold": 0.35}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}),
        ({"xtc_probability": 0.5, "xtc_threshold": 0.09}, {0: 0.55, 1: 0.1, 2: 0.15, 3: 0.2}),
        ({"logit_bias": {3: -math.inf}}, {0: 0.1667, 1: 0.3333, 2: 0.5}),
        ({"logit_bias": {0: math.log(4)}}, {0: 0.3077, 1: 0.1538, 2: 0.2308, 3: 0.3077}),
    ],
)
def test_probabilities(given: dict[str, Any], distribution: dict[int, float]) -> None:
    assert drawn_from(**given) == pytest.approx(distribution, abs=1e-4)


def test_default_is_the_tools_own() -> None:
    s = Sampling()
    assert (s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_last_n) == (0.2, 40, 0.95, 0.05, 64)
    assert s.samplers == samplers_by_letter("edskypmxt")


def test_draws_as_often_as_it_says() -> None:
    sampler = Sampler(Sampling(**PLAIN, seed=7), vocab_size=4)
    counts = np.bincount([sampler.sample(LOGITS) for _ in range(4000)], minlength=4)
    # Five standard deviations of a count of 4000 draws are 155 at most.
    np.testing.assert_allclose(counts, 4000 * LOGITS.exp().numpy(), atol=155)


def test_seed_gives_the_tokens_again() -> None:
    first = Sampler(Sampling(**PLAIN, seed=7), vocab_size=4)
    tokens = [first.sample(LOGITS) for _ in range(30)]
    again = Sampler(Sampling(**PLAIN, seed=7), vocab_size=4)
    assert [again.sample(LOGITS) for _ in range(30)] == tokens
    first.reset()
    assert [first.sample(LOGITS) for _ in range(30)] == tokens


def test_random_numbers_are_those_of_mt19937() -> None:
    # std::mt19937(42) begins 1608637542, 3421126067; a double of the C++ library is (first + second * 2^32) / 2^64.
    boundary = (1608637542 + 3421126067 * 2**32) / 2**64
    for shift, token in ((-1e-6, 1), (1e-6, 0)):
        share = boundary + shift
        sampler = Sampler(Sampling(**PLAIN, seed=42), vocab_size=2)
        assert sampler.sample(torch.tensor([share, 1 - share], dtype=torch.float64).log()) == token


@pytest.mark.parametrize("seed", [None, -1])
def test_without_seed_each_sampler_has_its_own(seed: int | None) -> None:
    seeds = {Sampler(Sampling(seed=seed), vocab_size=4).seed for _ in range(4)}
    assert len(seeds) > 1


def test_what_was_drawn_counts_as_said() -> None:
    sampler = Sampler(Sampling(temperature=0, presence_penalty=10), vocab_size=4)
    assert [sampler.sample(LOGITS) for _ in range(4)] == [3, 2, 1, 0]
    sampler.reset()
    sampler.accept(3)
    assert sampler.sample(LOGITS) == 2


def test_never_says_what_is_forbidden() -> None:
    sampler = Sampler(Sampling(temperature=0, logit_bias={3: 5.0}), vocab_size=4, never={3})
    assert sampler.sample(LOGITS) == 2


def test_leaves_the_logits_alone() -> None:
    logits = LOGITS.clone()
    sampler = Sampler(Sampling(repeat_penalty=2, logit_bias={1: 3.0}), vocab_size=4)
    for _ in range(3):
        sampler.sample(logits)
    assert torch.equal(logits, LOGITS)


def test_takes_any_dtype() -> None:
    sampler = Sampler(Sampling(temperature=0), vocab_size=4)
    assert sampler.sample(LOGITS.bfloat16()) == 3


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_mirostat_keeps_the_surprise_near_its_target(version: int, temperature: float) -> None:
    logits = -torch.arange(1, 2001).float().log() * 1.1  # a Zipf distribution
    sampler = Sampler(
        Sampling(mirostat=version, mirostat_tau=3, mirostat_eta=0.1, temperature=temperature, seed=3), vocab_size=2000
    )
    if temperature == 0:
        assert sampler.sample(logits) == 0
        return
    surprises = []
    for _ in range(400):
        ids, probabilities = sampler.probabilities(logits)
        token = sampler.sample(logits)
        surprises.append(-math.log2(probabilities[ids.tolist().index(token)]))
    assert np.mean(surprises[100:]) == pytest.approx(3, abs=0.3)


def test_mirostat2_keeps_what_surprises_at_most_mu() -> None:
    # mu begins at twice tau, 2 bits: tokens of a quarter and more.
    assert drawn_from(mirostat=2, mirostat_tau=1) == pytest.approx({2: 0.4286, 3: 0.5714}, abs=1e-4)


def test_mirostat1_counts_by_the_slope() -> None:
    # Logits of -2 log(rank) have the slope 2 exactly, and mu begins at 4: k = sqrt((2 - 1) * 2^4 / (1 - 1/100)) = 4.02.
    logits = -torch.arange(1, 101).float().log() * 2
    assert set(drawn_from(logits, mirostat=1, mirostat_tau=2)) == {0, 1, 2, 3}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_overflowed_are_told(value: float) -> None:
    with pytest.raises(MtmdError, match="best logit"):
        Sampler(Sampling(), vocab_size=3).sample(torch.tensor([0.0, value, 1.0]))


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"temperature": math.nan}, "temperature is nan", "finite"),
        ({"top_p": math.inf}, "top_p is inf", "finite"),
        ({"xtc_probability": 2}, "xtc_probability is 2", "between 0 and 1"),
        ({"repeat_last_n": -1}, "repeat_last_n is -1", "0 or more"),
        ({"repeat_penalty": 0}, "repeat_penalty is 0", "between"),
        ({"dry_base": 0.5}, "dry_base is 0.5", "1 or more"),
        ({"mirostat": 3}, "mirostat is 3", "between 0 and 2"),
        ({"min_keep": -2}, "min_keep is -2", "0 or more"),
        ({"samplers": ("top_q",)}, "no sampler 'top_q'", "did you mean top_"),
        ({"samplers": ("zzz",)}, "no sampler 'zzz'", "there are penalties"),
        ({"logit_bias": {1: math.nan}}, "bias of token 1 is nan", "-inf"),
        ({"logit_bias": {1: math.inf}}, "bias of token 1 is inf", "-inf"),
        ({"seed": 2**32}, "seed is 4294967296", "4294967295"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Sampling(**given)
    assert hint in caught.value.hint


@pytest.mark.parametrize("token", [-1, 4])
def test_bias_of_a_token_that_is_not_there_is_refused(token: int) -> None:
    with pytest.raises(UsageError, match=f"no token {token}"):
        Sampler(Sampling(logit_bias={token: 1.0}), vocab_size=4)


def test_letters_spell_samplers() -> None:
    assert samplers_by_letter("tk") == ("temperature", "top_k")
    with pytest.raises(UsageError, match="'z'"):
        samplers_by_letter("kz")
