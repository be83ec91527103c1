"""MobileVLM and MobileVLM V2: LLaVA's features, then a projector of depthwise convolutions that halves the grid.

    (144 tokens), with no marker around them

Source: tools/mtmd/models/llava.cpp (LDP, LDPV2); https://arxiv.org/abs/2312.16886, https://arxiv.org/abs/2402.03766.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.size import Size
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import pool_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn
from mtmd_cli.vision.llava import feature_layers, llava_features, llava_slicing, spare_tensors

KERNEL = 3


class Depthwise(nn.Module):
    """A 3 x 3 convolution of each channel for itself."""

    bias: Tensor | None

    def __init__(self, parts: Parts, name: str, width: int, *, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.stride, self.residual = stride, residual
        self.weight = nn.Parameter(torch.empty(width, KERNEL, KERNEL), requires_grad=False)
        has_bias = parts.has(f"{name}.bias")
        self.bias = nn.Parameter(torch.empty(width), requires_grad=False) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) -> (slices, rows/stride, columns/stride, width)"""
        planes, kernel = x.permute(0, 3, 1, 2), self.weight[:, None]
        out = F.conv2d(planes, kernel, self.bias, self.stride, KERNEL // 2, groups=len(kernel)).permute(0, 2, 3, 1)
        return x + out if self.residual else out


class Excitation(nn.Module):
    """Channels weighed by what two layers make of their means over the grid (squeeze and excitation)."""

    def __init__(self, parts: Parts, width: int) -> None:
        super().__init__()
        squeezed = max(8, (width // 4 + 4) // 8 * 8)
        self.fc1 = parts.linear("fc1", width, squeezed)
        self.fc2 = parts.linear("fc2", squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) -> as x"""
        means = x.mean((1, 2), keepdim=True)
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(means))))


class Inverted(nn.Module):
    """MobileNet's block: channels convolved, weighed, then mixed; at stride 1 added to its input."""

    def __init__(self, parts: Parts, width: int, eps: float, *, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1
        first, second, third = (parts.at(f"block.{index}") for index in range(3))
        convolve = {"0": Depthwise(first, "0", width, stride=stride), "1": first.layer_norm("1", width, eps)}
        mix = {"0": third.linear("0", width, width), "1": third.layer_norm("1", width, eps)}
        self.block = chain(
            {"0": chain({**convolve, "_act": nn.Hardswish()}), "1": Excitation(second, width), "2": chain(mix)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) -> (slices, rows/stride, columns/stride, width)"""
        out: Tensor = self.block(x)
        return x + out if self.residual else out


class Halve(nn.Module):
    """The mean of each 2 x 2 square."""

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) -> (slices, rows/2, columns/2, width)"""
        return pool_patches(x, 2)


class LDPTower(nn.Module):
    """LLaVA's features, two layers around a GELU, convolutions."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.grid, self.layers = config.grid, feature_layers(config)
        if self.grid % 2:
            raise GGUFError(
                f"the tower has {self.grid} patches along an edge, expected an even number", hint="convert it again"
            )
        self.v = ViT(config.vit(blocks=self.layers[-1], class_first=config.as_trained), parts.at("v"))
        model, width = parts.at("mm.model"), config.projection
        if model.has("peg.0"):
            peg = Depthwise(model, "peg.0", width, residual=True)
            squares = {"_halve": Halve(), "peg": chain({"0": peg})}
            first, second = "0", "2"
        else:
            blocks = {f"{n}": Inverted(model.at(f"mb_block.{n}"), width, config.eps, stride=n) for n in (1, 2)}
            squares = {"mb_block": chain(blocks)}
            first, second = "1", "3"
        mlp = {
            first: model.linear(f"mlp.{first}", config.width * len(self.layers), width),
            "_gelu": Activate(Activation.GELU_TANH),
            second: model.linear(f"mlp.{second}", width, width),
        }
        self.mm = chain({"mlp": chain(mlp), **squares}, below="model")

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        grid = llava_features(self.v, pixels, self.layers).unflatten(1, (self.grid, self.grid))
        out: Tensor = self.mm(grid)
        return out.flatten(1, 2)


def _family(name: str, projection: str) -> VisionFamily:
    return VisionFamily(
        name=name,
        build=LDPTower,
        slicing=llava_slicing,
        tokens=lambda config, image: Size(config.grid // 2, config.grid // 2),
        spare=spare_tensors,
        fixups=(swap_ffn,),
        projection=(projection,),
    )


LDP = _family("ldp", "mm.model.mlp.3.weight")
LDPV2 = _family("ldpv2", "mm.model.mlp.2.weight")
