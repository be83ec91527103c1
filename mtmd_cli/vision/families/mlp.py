"""LLaVA 1.5 and 1.6, Yi-VL, Granite Vision 3, Moondream 2: CLIP or SigLIP, some of its layers, a small projector.

    (576 tokens)                      one picture (LLaVA 1.5)
    (tile) (tile) … (overview)        a file with pinpoints (LLaVA 1.6, Granite Vision)

No marker stands around them.
Source: tools/mtmd/models/llava.cpp, legacy-models/convert_image_encoder_to_gguf.py; LlavaModel, transformers 5.23.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.image.size import Size
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn
from mtmd_cli.vision.llava import feature_layers, llava_features, llava_slicing, spare_tensors


class MLPTower(nn.Module):
    """The features of some layers, then two layers around a GELU, or (Yi-VL) two layers with a norm behind each."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.layers = feature_layers(config)
        self.v = ViT(config.vit(blocks=self.layers[-1], class_first=config.as_trained), parts.at("v"))
        mm, columns, width = parts.at("mm"), config.width * len(self.layers), config.projection
        gelu = Activate(Activation.GELU_TANH)
        steps: dict[str, nn.Module] = {"0": mm.linear("0", columns, width)}
        if mm.has("3"):
            steps |= {"1": mm.layer_norm("1", width, config.eps), "_gelu": gelu}
            steps |= {"3": mm.linear("3", width, width), "4": mm.layer_norm("4", width, config.eps)}
        else:
            steps |= {"_gelu": gelu}
            steps |= {"2": mm.linear("2", width, width)} if mm.has("2") else {}
        self.mm = chain(steps)

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        out: Tensor = self.mm(llava_features(self.v, pixels, self.layers))
        return out


MLP = VisionFamily(
    name="mlp",
    build=MLPTower,
    slicing=llava_slicing,
    tokens=lambda config, image: Size(config.grid, config.grid),
    spare=spare_tensors,
    fixups=(swap_ffn,),
    projection=("mm.3.weight", "mm.2.weight", "mm.0.weight"),
)
