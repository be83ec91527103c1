"""The features that LLaVA and its descendants take from CLIP or SigLIP: some layers of the tower, all but one token.

Source: tools/mtmd/models/llava.cpp, clip.cpp (PROJECTOR_TYPE_MLP).
"""

from __future__ import annotations

from torch import Tensor

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.slicing import FixedSize, Pinpoints, Slicing
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig

PAD_COLOUR = (122, 116, 104)


def feature_layers(config: VisionConfig) -> list[int]:
    """After how many blocks the stream is taken, ascending; one block before the end where the file does not say.

    Converters have left out the last block already, so that the model itself was trained with all that are there.
    Raises GGUFError for a layer that cannot be.
    """
    last = config.blocks if config.as_trained else config.blocks - 1
    layers = sorted(set(config.metadata.ints("clip.vision.feature_layer", [last])))
    if not layers or layers[0] < 0 or layers[-1] > config.blocks:
        raise GGUFError(
            f"clip.vision.feature_layer is {layers}, expected numbers from 0 to {config.blocks}",
            hint="convert the file again",
        )
    return layers


def llava_features(vit: ViT, pixels: Tensor, layers: list[int]) -> Tensor:
    """(slices, 3, rows, columns) in pixels -> (slices, patches, len(layers) · width)

    The first token is left out, where there is a class token. The reference puts that behind the patches, so that it
    hands over the second patch to the last, then the class token; models were trained with it in front.
    """
    x = vit.features(pixels, layers)
    return x if vit.class_embd is None else x[:, 1:]


def llava_slicing(config: VisionConfig) -> Slicing:
    """One padded picture, or tiles where the file has pinpoints."""
    if config.pinpoints:
        return Pinpoints(config.image_size, config.pinpoints)
    return FixedSize(config.image_size, colour=PAD_COLOUR)


def spare_tensors(config: VisionConfig) -> tuple[str, ...]:
    """The blocks behind the last feature, and the embedding of line ends, which the reference never places."""
    return ("model.image_newline", *(f"v.blk.{index}." for index in range(feature_layers(config)[-1], config.blocks)))
