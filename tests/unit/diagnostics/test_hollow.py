"""Tensors without data: what they say is what real ones do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtmd_cli.diagnostics.hollow import HollowMode, NeedsValues

CPU = torch.device("cpu")
PICTURE = torch.ones(1, 4, 6, 8)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x * 2,
        lambda x: x + torch.arange(3),
        lambda x: x.int() / x.int(),
        lambda x: x > 0,
        lambda x: x[:, None] - x,
        lambda x: x.t() * x.t(),
        lambda x: torch.where(x > 0, x, 1.5),
        lambda x: x.int() // 2,
        lambda x: F.linear(x, x, x[:, 0]),
        lambda x: x @ x.t(),
        lambda x: F.layer_norm(x, (3,)),
        lambda x: F.rms_norm(x, (3,)),
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x.mean(dim=-1, keepdim=True),
        lambda x: x.int().sum(dim=0),
        lambda x: torch.softmax(x, dim=0),
        lambda x: torch.cat([x, x[:1]]),
        lambda x: torch.stack([x, x], dim=-1),
        lambda x: torch.cat([x, torch.arange(3)[None]]),
        lambda x: x.topk(2).indices,
        lambda x: x.flatten().argsort(),
        lambda x: x.gather(1, torch.zeros(4, 2, dtype=torch.long)),
        lambda x: x[torch.tensor([0, 2, 2])],
        lambda x: x[:, torch.tensor([[0], [1]])],
        lambda x: x[None][torch.tensor([0, 0]), :, torch.tensor([1, 2])],
        lambda x: x.flip(0),
        lambda x: torch.zeros_like(x, dtype=torch.bfloat16),
        lambda x: torch.arange(2, 9, 2),
        lambda x: torch.arange(0.0, 1.0, 0.3),
        lambda x: F.pad(x, (1, 2)),
        lambda x: x.to(CPU),
        lambda x: torch.tensor([1.0, 2.0]).to(CPU),
        lambda x: F.avg_pool2d(PICTURE, 2),
        lambda x: F.avg_pool2d(PICTURE, 3, stride=2, padding=1),
        lambda x: F.avg_pool2d(PICTURE.permute(0, 2, 3, 1), 2),
        lambda x: F.interpolate(PICTURE, (3, 5), mode="bilinear"),
        lambda x: F.interpolate(PICTURE.to(memory_format=torch.channels_last), (3, 5), mode="bicubic"),
        lambda x: F.interpolate(PICTURE, (3, 5), mode="bilinear", antialias=True),
    ],
)
def test_shape_dtype_order_and_device_are_those_of_the_real_result(work: Callable[[Tensor], Tensor]) -> None:
    x = torch.ones(4, 3)
    expected = work(x)
    with HollowMode(CPU, [x]), torch.no_grad():
        found = work(x)
        assert (found.shape, found.dtype, found.device) == (expected.shape, expected.dtype, expected.device)
        assert found.stride() == expected.stride()


def test_what_an_operator_changes_in_place_stays_the_same_tensor() -> None:
    with HollowMode(CPU):
        x = torch.zeros(3)
        assert x.add_(1) is x


def test_questions_about_values_are_refused() -> None:
    with HollowMode(CPU), pytest.raises(NeedsValues, match="_local_scalar_dense"):
        torch.ones(1).item()


def test_no_compiler_and_no_algebra_system_is_imported() -> None:
    program = (
        "import sys, torch; from torch.nn import functional as F; from mtmd_cli.diagnostics.hollow import HollowMode\n"
        "with HollowMode(torch.device('cpu')), torch.no_grad():\n"
        "    x = torch.ones(2, 4)\n"
        "    F.layer_norm(F.gelu(F.linear(x, torch.ones(4, 4), x[0])), (4,)).softmax(-1)[torch.arange(1)]\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
