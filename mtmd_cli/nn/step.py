"""What all layers of a decoder share in one call."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mtmd_cli.nn.rope import Rope


@dataclass(frozen=True)
class Step:
    """One run over new tokens.

    first: the index of the first new token in the cache. causal: False where the new tokens (an image) see each other
    in both directions. positions: of the new tokens, (n,) or (n, 4) for M-RoPE. ropes: cos and sin for these
    positions, for every rope of the model.
    """

    first: int
    causal: bool
    positions: Tensor
    ropes: dict[Rope, tuple[Tensor, Tensor]]
