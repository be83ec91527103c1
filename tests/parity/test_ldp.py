"""MobileVLM's projectors compute what their papers describe, built here of torch's own modules, after a CLIP tower."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.clip import class_token_last, clip_tower, read_as_the_reference, tower_tensors
from tests.parity.pair import assert_same_tower, randomise, write_tower
from tests.parity.tiny import EPS, IMAGE, LANGUAGE_WIDTH, METADATA, PATCH, WIDTH, some_pixels

GRID = IMAGE // PATCH


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


class SqueezeExcitation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * nn.Hardsigmoid()(self.fc2(nn.ReLU()(self.fc1(self.avgpool(x)))))


class InvertedResidual(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        depthwise = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
        pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.block = nn.Sequential(
            nn.Sequential(depthwise, LayerNorm2d(width, EPS), nn.Hardswish()),
            SqueezeExcitation(width),
            nn.Sequential(pointwise, LayerNorm2d(width, EPS)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.stride == 1 else self.block(x)


class Planes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).unflatten(2, (GRID, GRID))


class Positions(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self[0](x)
        return out + x


def ldp(width: int) -> nn.Module:
    mlp = nn.Sequential(nn.Identity(), nn.Linear(WIDTH, width), nn.GELU("tanh"), nn.Linear(width, width))
    blocks = nn.Sequential(nn.Identity(), InvertedResidual(width, 1), InvertedResidual(width, 2))
    return nn.Sequential(OrderedDict(mlp=mlp, planes=Planes(), mb_block=blocks))


def ldpv2(width: int) -> nn.Module:
    mlp = nn.Sequential(nn.Linear(WIDTH, width), nn.GELU("tanh"), nn.Linear(width, width))
    positions = Positions(nn.Conv2d(width, width, 3, 1, 1, groups=width))
    pool = nn.AdaptiveAvgPool2d(GRID // 2)
    return nn.Sequential(OrderedDict(mlp=mlp, planes=Planes(), dwn=pool, peg=positions))


@pytest.mark.parametrize(("name", "build"), [("ldp", ldp), ("ldpv2", ldpv2)])
@torch.inference_mode()
def test_mobilevlm(name: str, build: Callable[[int], nn.Module], tmp_path: Path) -> None:
    tower, projector = clip_tower(), randomise(build(LANGUAGE_WIDTH), seed=3)
    pixels = some_pixels(2)
    states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
    grid = projector(read_as_the_reference(states[-2]))
    # The converter leaves out every axis of length one.
    extra = {f"mm.model.{name}": tensor.squeeze() for name, tensor in projector.state_dict().items()}
    path = write_tower(tmp_path, name, tower_tensors(tower), METADATA, change=class_token_last, extra=extra)
    assert_same_tower(path, pixels, grid.flatten(2).transpose(1, 2))

    own = projector(states[-1][:, 1:]).flatten(2).transpose(1, 2)
    path = write_tower(tmp_path, name, tower_tensors(tower), METADATA, extra=extra)
    assert_same_tower(path, pixels, own, as_trained=True)
