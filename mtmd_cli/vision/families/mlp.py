"""LLaVA 1.5 and 1.6, Yi-VL, Granite Vision 3, Moondream 2: CLIP or SigLIP, some of its layers, a small projector.

    (576 tokens)                      one picture (LLaVA 1.5)
    (tile) (tile) … (overview)        a file with pinpoints (LLaVA 1.6, Granite Vision)

No marker stands around them. The file names the layers (`feature_layer`) or leaves it at the last but one. With a
class token, the tokens are the second patch to the last, then the class token: the reference puts it behind the
patches, and leaves out the first of all.
Source: tools/mtmd/models/llava.cpp, clip.cpp (PROJECTOR_TYPE_MLP), legacy-models/convert_image_encoder_to_gguf.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import FixedSize, Pinpoints, Slicing
from mtmd_cli.image.slicing.pinpoints import sizes_from_pairs
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn

PAD_COLOUR = (122, 116, 104)


def _layers(config: VisionConfig) -> list[int]:
    """After how many blocks the stream is taken, ascending. Raises GGUFError for a layer that cannot be."""
    layers = sorted(set(config.metadata.ints("clip.vision.feature_layer", [config.blocks - 1])))
    if not layers or layers[0] < 0 or layers[-1] > config.blocks:
        raise GGUFError(
            f"clip.vision.feature_layer is {layers}, expected numbers from 0 to {config.blocks}",
            hint="convert the file again",
        )
    return layers


class MLPTower(nn.Module):
    """The features of some layers, then two layers around a GELU, or (Yi-VL) two layers with a norm behind each."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.layers = _layers(config)
        self.v = ViT(config.vit(blocks=self.layers[-1]), parts.at("v"))
        self.mm = self._projector(config, parts.at("mm"), config.width * len(self.layers))

    @staticmethod
    def _projector(config: VisionConfig, mm: Parts, columns: int) -> nn.Sequential:
        width, gelu = config.projection, Activate(Activation.GELU_TANH)
        steps: dict[str, nn.Module] = {"0": mm.linear("0", columns, width)}
        if mm.has("3"):
            steps |= {"1": mm.layer_norm("1", width, config.eps), "_gelu": gelu}
            steps |= {"3": mm.linear("3", width, width), "4": mm.layer_norm("4", width, config.eps)}
        else:
            steps |= {"_gelu": gelu}
            steps |= {"2": mm.linear("2", width, width)} if mm.has("2") else {}
        return chain(steps)

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        x = self.v.features(pixels, self.layers)
        if self.v.class_embd is not None:
            x = x[:, 1:]
        out: Tensor = self.mm(x)
        return out


def _slicing(config: VisionConfig) -> Slicing:
    pinpoints = config.metadata.ints("clip.vision.image_grid_pinpoints", [])
    if len(pinpoints) % 2:
        raise GGUFError(
            f"clip.vision.image_grid_pinpoints has {len(pinpoints)} numbers, expected pairs of width and height",
            hint="convert the file again",
        )
    if pinpoints:
        return Pinpoints(config.image_size, sizes_from_pairs(pinpoints))
    return FixedSize(config.image_size, colour=PAD_COLOUR)


def _spare(config: VisionConfig) -> tuple[str, ...]:
    """The blocks behind the last feature, and the embedding of line ends, which the reference never places."""
    return ("model.image_newline", *(f"v.blk.{index}." for index in range(_layers(config)[-1], config.blocks)))


MLP = VisionFamily(
    name="mlp",
    build=MLPTower,
    slicing=_slicing,
    tokens=lambda config, image: Size(config.grid, config.grid),
    spare=_spare,
    fixups=(swap_ffn,),
    projection=("mm.3.weight", "mm.2.weight", "mm.0.weight"),
)
