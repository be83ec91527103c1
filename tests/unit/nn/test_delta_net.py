"""The delta rule by chunks is the delta rule token by token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtmd_cli.nn.delta_net import CHUNK, delta_rule

KEY_HEADS, GROUPS, KEY, VALUE = 2, 3, 8, 5


def some_tokens(count: int, *, rate: float = 0.5, decay: float = -0.1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(count)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    heads = (GROUPS, KEY_HEADS, count)
    q, k = F.normalize(noise(KEY_HEADS, count, KEY), dim=-1), F.normalize(noise(KEY_HEADS, count, KEY), dim=-1)
    return q, k, noise(*heads, VALUE), torch.rand(heads, generator=generator) * decay, torch.full(heads, rate)


def new_state() -> Tensor:
    return torch.zeros(GROUPS, KEY_HEADS, KEY, VALUE)


def by_the_definition(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """In f64, head by head and token by token."""
    out, states = torch.zeros(v.shape, dtype=torch.float64), new_state().double()
    for group in range(GROUPS):
        for head in range(KEY_HEADS):
            state = states[group, head]
            for t in range(q.shape[1]):
                at = (group, head, t)
                state *= decay[at].double().exp()
                key = k[head, t].double()
                state += torch.outer(key, rate[at] * (v[at].double() - state.T @ key))
                out[at] = state.T @ q[head, t].double()
    return out, states


@pytest.mark.parametrize(
    "batches",
    [
        (1, 1, 1),
        (5,),
        (CHUNK,),
        (CHUNK + 1,),  # one token over the border
        (2 * CHUNK + 7,),
        (3, CHUNK, 1, 1, 20),
    ],
)
@pytest.mark.parametrize(("rate", "decay"), [(0.5, -0.1), (1.0, 0.0), (1.0, -200.0)], ids=["some", "all", "none"])
def test_batches_change_nothing(batches: tuple[int, ...], rate: float, decay: float) -> None:
    tokens = some_tokens(sum(batches), rate=rate, decay=decay)
    expected, expected_state = by_the_definition(*tokens)
    state, start, answers = new_state(), 0, []
    for count in batches:
        q, k, v, fade, share = tokens
        at = slice(start, start + count)
        answers.append(delta_rule(q[:, at], k[:, at], v[:, :, at], fade[:, :, at], share[:, :, at], state))
        start += count
    answer = torch.cat(answers, dim=2)
    assert float((answer - expected).abs().max() / expected.abs().max()) <= 1e-5
    assert float((state - expected_state).abs().max() / expected_state.abs().max()) <= 1e-5
