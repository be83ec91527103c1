"""Weights are taken strictly: what is missing, unused or of another shape is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn.linear import Linear
from mtmd_cli.nn.norm import RMSNorm
from mtmd_cli.weights import load_weights, renamed

CPU = torch.device("cpu")


class Tower(nn.Module):
    """blk.0.norm and blk.0.up: an underscore keeps a part out of the names."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Module()
        block.norm = RMSNorm(4, 1e-5)
        block._inner = nn.ModuleDict({"up": Linear(4, 2)})
        self.blk = nn.ModuleList([block])


def tensor(name: str, *shape: int) -> PackedTensor:
    return PackedTensor(name, shape, GGMLType.F32, torch.ones(shape).view(-1).view(torch.uint8))


def file(**changes: PackedTensor | None) -> dict[str, PackedTensor]:
    tensors: dict[str, PackedTensor | None] = {
        "blk.0.norm.weight": tensor("blk.0.norm.weight", 4),
        "blk.0.up.weight": tensor("blk.0.up.weight", 2, 4),
    }
    return {name: value for name, value in {**tensors, **changes}.items() if value is not None}


def load(tensors: dict[str, PackedTensor], dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.device("meta"):
        tower = Tower()
    load_weights(tower, tensors, source="tiny.gguf", device=CPU, dtype=dtype)
    return tower


def test_everything_finds_its_place() -> None:
    tower = load(file())
    assert {parameter.device for parameter in tower.parameters()} == {CPU}
    assert not tower.training and not any(parameter.requires_grad for parameter in tower.parameters())


def test_the_memory_of_the_file_is_given_back_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtmd_cli.weights.READ_BYTES", 20)  # the norm has 16 bytes, the matrix 32
    given_back = []
    with torch.device("meta"):
        tower = Tower()
    load_weights(
        tower, file(), source="tiny.gguf", device=CPU, dtype=torch.float32, release_pages=lambda: given_back.append(1)
    )
    assert len(given_back) == 2  # before the second would lie beside the first, and at the end


def test_norms_stay_in_f32() -> None:
    kinds = {name: parameter.dtype for name, parameter in load(file(), torch.bfloat16).named_parameters()}
    assert kinds == {"blk.0.norm.weight": torch.float32, "blk.0._inner.up.weight": torch.bfloat16}


@pytest.mark.parametrize(
    ("changes", "error", "message", "hint"),
    [
        ({"blk.0.up.weight": None}, UnsupportedModel, "1 tensor missing, first blk.0.up.weight", "blk.0.norm.weight"),
        (
            {"blk.0.upp.weight": tensor("blk.0.upp.weight", 2, 4)},
            UnsupportedModel,
            "1 tensor not used by this family, first blk.0.upp.weight",
            "blk.0.up.weight",
        ),
        (
            {"blk.0.up.weight": tensor("blk.0.up.weight", 4, 2)},
            GGUFError,
            "tensor blk.0.up.weight has shape 4×2, expected 2×4",
            "converter",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, PackedTensor | None], error: type[GGUFError], message: str, hint: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        load(file(**changes))
    assert "tiny.gguf" in str(refused.value) and hint in refused.value.hint


def test_axes_of_length_one_do_not_count() -> None:
    load(file(**{"blk.0.up.weight": tensor("blk.0.up.weight", 1, 2, 4)}))


@pytest.mark.parametrize(
    ("rename", "name", "ours"),
    [
        ({}, "v.blk.3.up.weight", "v.blk.3.up.weight"),
        ({"mm.0.weight": "mm.up.weight"}, "mm.0.weight", "mm.up.weight"),
        ({"mm.0.weight": ""}, "mm.0.weight", None),  # left aside
        ({"blk.*.a.weight": "blk.*.b.weight"}, "blk.12.a.weight", "blk.12.b.weight"),  # in every layer
    ],
)
def test_names_of_the_file_become_ours(rename: dict[str, str], name: str, ours: str | None) -> None:
    assert list(renamed({name: tensor(name, 1)}, rename)) == ([ours] if ours else [])
