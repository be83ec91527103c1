"""The C kernels against the reference: the same weights, the same activations, other instructions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtmd_cli.gguf import GGMLType
from mtmd_cli.gguf.quants import dequantise
from mtmd_cli.nn.kernels.cpu.build import NoLibrary, find_compiler
from mtmd_cli.nn.kernels.cpu.library import Instructions, Library, instructions_here, load_library

# Where the f16 numbers of a block lie.
HALVES = {
    GGMLType.Q4_0: (0,),
    GGMLType.Q4_1: (0, 2),
    GGMLType.Q5_0: (0,),
    GGMLType.Q5_1: (0, 2),
    GGMLType.Q8_0: (0,),
    GGMLType.Q3_K: (108,),
    GGMLType.Q4_K: (0, 2),
    GGMLType.Q5_K: (0, 2),
    GGMLType.Q6_K: (208,),
    GGMLType.IQ4_NL: (0,),
    GGMLType.IQ4_XS: (0,),
}
# The largest rounding of a scale to f16; most formats have theirs in f16 already.
ROUNDING = 2.0**-11


@pytest.fixture(scope="module", params=instructions_here(), ids=lambda instructions: instructions.name)
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    try:
        find_compiler()
    except NoLibrary as error:
        pytest.skip(str(error))
    found = load_library(request.param, tmp_path_factory.mktemp("kernels"))
    assert isinstance(found, Library), found
    return found


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def random_blocks(kind: GGMLType, rows: int, columns: int, seed: int = 0) -> Tensor:
    """Any bytes, with scales of a size that weights have: uint8 (rows, bytes of a row)."""
    generator = torch.Generator().manual_seed(seed)
    count = rows * columns // kind.block
    blocks = torch.randint(0, 256, (count, kind.block_bytes), dtype=torch.uint8, generator=generator)
    for at in HALVES[kind]:
        scales = (torch.rand(count, 1, generator=generator) - 0.5) / 50
        blocks[:, at : at + 2] = scales.half().view(torch.uint8)
    return blocks.view(rows, -1)


def rounded(x: Tensor) -> Tensor:
    """Activations as the kernels see them: int8 in blocks of 32 with a scale."""
    blocks = x.float().unflatten(-1, (-1, 32))
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    return torch.where(scale > 0, (blocks / scale).round() * scale, 0.0).flatten(-2)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("kind", HALVES, ids=lambda kind: kind.name)
def test_rows_of_packed_weights_are_those_of_the_reference(kernels: Library, kind: GGMLType) -> None:
    source = random_blocks(kind, rows=37, columns=512)
    layout = kernels.layout(kind)
    assert layout is not None
    index = torch.tensor([36, 0, 16, 15, 16])

    found = kernels.rows(kernels.pack(source, kind, 512), layout, (37, 512), index)

    expected = dequantise(source, kind)[index]
    torch.testing.assert_close(found, expected, rtol=2 * ROUNDING, atol=ROUNDING * expected.abs().max().item())


@pytest.mark.parametrize("n", [1, 3, 4, 8, 21])
@pytest.mark.parametrize("kind", HALVES, ids=lambda kind: kind.name)
def test_products_differ_only_by_the_rounding_of_activations(kernels: Library, kind: GGMLType, n: int) -> None:
    source = random_blocks(kind, rows=37, columns=768)
    layout = kernels.layout(kind)
    assert layout is not None
    x = torch.randn(n, 768, generator=torch.Generator().manual_seed(n))

    found = kernels.linear(x, kernels.pack(source, kind, 768), layout, 37)

    weights = dequantise(source, kind)
    assert relative_error(found, rounded(x).double() @ weights.double().T) < ROUNDING
    assert relative_error(found, x.double() @ weights.double().T) < 0.02


@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (15, 32), (16, 64), (17, 96), (33, 4160), (256, 1024)])
@pytest.mark.parametrize("kind", [GGMLType.Q4_1, GGMLType.Q8_0], ids=lambda kind: kind.name)
def test_any_shape_on_any_number_of_threads(
    kernels: Library, threads: int, kind: GGMLType, rows: int, columns: int
) -> None:
    source = random_blocks(kind, rows, columns)
    layout = kernels.layout(kind)
    assert layout is not None
    packed, expected = kernels.pack(source, kind, columns), dequantise(source, kind)
    for n in (1, 9):
        x = torch.randn(n, columns, generator=torch.Generator().manual_seed(n))
        found = kernels.linear(x, packed, layout, rows)
        torch.testing.assert_close(found, rounded(x) @ expected.T, rtol=1e-4, atol=1e-4)


def test_every_output_is_written_and_nothing_beside(kernels: Library) -> None:
    kind, rows, columns, n = GGMLType.Q6_K, 19, 256, 9
    source = random_blocks(kind, rows, columns)
    layout = kernels.layout(kind)
    assert layout is not None
    packed, x, guard = kernels.pack(source, kind, columns), torch.randn(n, columns), 64
    out = torch.full((guard + n * rows + guard,), float("nan"))
    middle = out[guard:-guard].view(n, rows)

    kernels.linear_into(middle, x, packed, layout)

    assert middle.isfinite().all()
    assert out[:guard].isnan().all() and out[-guard:].isnan().all()
    torch.testing.assert_close(middle, kernels.linear(x, packed, layout, rows), rtol=0, atol=0)


def test_rows_in_bf16_are_rounded_once_at_the_end(kernels: Library) -> None:
    source = random_blocks(GGMLType.Q4_K, rows=48, columns=512)
    layout = kernels.layout(GGMLType.Q4_K)
    assert layout is not None
    packed = kernels.pack(source, GGMLType.Q4_K, 512)
    x = torch.randn(2, 5, 512).bfloat16()

    found = kernels.linear(x, packed, layout, 48)

    assert found.dtype is torch.bfloat16 and found.shape == (2, 5, 48)
    assert torch.equal(found, kernels.linear(x.float(), packed, layout, 48).bfloat16())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(kernels: Library, broken: float) -> None:
    source = random_blocks(GGMLType.Q8_0, rows=16, columns=64)
    layout = kernels.layout(GGMLType.Q8_0)
    assert layout is not None
    x = torch.ones(2, 64)
    x[1, 40] = broken

    found = kernels.linear(x, kernels.pack(source, GGMLType.Q8_0, 64), layout, 16)

    assert found[0].isfinite().all() and found[1].isnan().all()


def test_nothing_times_anything_is_nothing(kernels: Library) -> None:
    source = random_blocks(GGMLType.Q5_1, rows=16, columns=64)
    layout = kernels.layout(GGMLType.Q5_1)
    assert layout is not None
    packed = kernels.pack(source, GGMLType.Q5_1, 64)
    assert kernels.linear(torch.zeros(3, 64), packed, layout, 16).count_nonzero() == 0
    assert kernels.linear(torch.zeros(0, 64), packed, layout, 16).shape == (0, 16)


@pytest.mark.parametrize("index", [-1, 16])
def test_a_row_that_is_not_there_is_refused(kernels: Library, index: int) -> None:
    source = random_blocks(GGMLType.Q8_0, rows=16, columns=64)
    layout = kernels.layout(GGMLType.Q8_0)
    assert layout is not None
    packed = kernels.pack(source, GGMLType.Q8_0, 64)
    with pytest.raises(IndexError):
        kernels.rows(packed, layout, (16, 64), torch.tensor([0, index]))


def test_types_without_a_layout_say_so(kernels: Library) -> None:
    assert kernels.layout(GGMLType.Q2_K) is None
    assert kernels.layout(GGMLType.F16) is None


def test_no_compiler_is_a_reason_not_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    found = load_library(Instructions.PLAIN, tmp_path)
    assert isinstance(found, str) and "compiler" in found
