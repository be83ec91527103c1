"""What a vision tower is made of, as data."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from mtmd_cli.diagnostics.attention import AttentionWatch
from mtmd_cli.diagnostics.support import Support
from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.vision.loader import Vision


@dataclass(frozen=True)
class AttentionUse:
    """Calls of attention that see the same. kind: as in AttentionKind; count: calls for one slice."""

    kind: str
    heads: int
    head_dim: int
    count: int

    def __str__(self) -> str:
        return f"{self.count} × {self.kind}, {self.heads} heads of {self.head_dim}"


def image_tokens(vision: Vision, plan: Plan) -> int:
    """The tokens that an image becomes."""
    if vision.family.joined is not None:
        return vision.family.joined(vision.config, plan)
    return sum(vision.family.tokens(vision.config, piece.size).area for piece in plan.slices)


def attention_of(tower: nn.Module, image: Size) -> tuple[AttentionUse, ...]:
    """How a tower on the meta device attends within a slice of this size: nothing is computed, only passed through."""
    watch = AttentionWatch(tower, Support(), choose=False, quiet=nullcontext)
    with torch.no_grad(), watch:
        tower(torch.empty(1, 3, image.height, image.width, device="meta"))
    found: dict[tuple[str, int, int], int] = {}
    for seen in watch.kinds.values():
        _, heads, _, head_dim = seen.sources[0].shape
        key = (seen.kind, heads, head_dim)
        found[key] = found.get(key, 0) + seen.count
    return tuple(AttentionUse(*key, count) for key, count in found.items())
