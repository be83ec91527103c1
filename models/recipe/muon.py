"""Muon: steps of the inner matrices are made orthogonal (Keller Jordan, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """The nearest orthogonal matrices, about: (n, rows, columns), by a Newton-Schulz iteration in bf16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = x.shape[1] <= x.shape[2]
    y = (x if wide else x.mT).bfloat16()
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y if wide else y.mT


class Muon:
    """For matrices; all of one shape are stepped together."""

    def __init__(self, parameters: list[nn.Parameter], momentum: float = 0.95, decay: float = 0.02) -> None:
        self.momentum, self.decay = momentum, decay
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        self.groups = list(shapes.values())
        self.velocity = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, velocity in zip(self.groups, self.velocity):
            gradient = torch.stack([parameter.grad for parameter in group])
            velocity.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(velocity, self.momentum))
            rows, columns = update.shape[1:]
            update = update.float() * (-rate * max(1.0, rows / columns) ** 0.5)
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(group, list(update.unbind()))
