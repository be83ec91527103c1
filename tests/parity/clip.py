"""CLIP as LLaVA's files hold it: written and read in the reference's order, which has the class token last.

The file's position table starts with the class token; the reference reads it as if it ended with it, and its first
token is the second patch, its last the class token. To compare the rest, the table is written in the order in which it
is read, and the tokens of the other side are put into that order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from tests.parity.pair import randomise
from tests.parity.tiny import SIZES

POST_NORM = "post_layernorm"  # the converter leaves it out


def clip_tower() -> CLIPVisionModel:
    return randomise(CLIPVisionModel(CLIPVisionConfig(**SIZES, hidden_act="gelu_pytorch_tanh")))


def tower_tensors(tower: nn.Module) -> list[tuple[str, Tensor]]:
    named = ((name.removeprefix("vision_model."), tensor) for name, tensor in tower.state_dict().items())
    return [(f"vision_tower.vision_model.{name}", tensor) for name, tensor in named if POST_NORM not in name]


def class_token_last(name: str, tensor: Tensor) -> Tensor:
    return tensor.roll(-1, dims=0) if name == "v.position_embd.weight" else tensor


def read_as_the_reference(tokens: Tensor) -> Tensor:
    """Class token, patches -> the second patch to the last, class token."""
    return torch.cat((tokens[:, 2:], tokens[:, :1]), dim=1)
