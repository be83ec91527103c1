"""What a token far into the context sees: chunks, and the temperature that keeps its attention sharp."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn.attention import Backend, Mask, attend
from mtmd_cli.nn.spec import Temperature

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        (0, [0]),
        (3, [0, 1, 2, 3]),  # the last of its chunk
        (4, [4]),  # the first of the next
        (6, [4, 5, 6]),
        (9, [8, 9]),
    ],
)
def test_a_query_sees_its_own_chunk(query: int, seen: list[int]) -> None:
    rows = Mask(0, chunk=4).rows(query, query + 1, 10, CPU)
    assert rows is not None and rows[0].nonzero().flatten().tolist() == seen


def test_image_tokens_see_each_other_from_the_start_of_their_chunk() -> None:
    rows = Mask(2, causal=False, chunk=4).rows(0, 2, 4, CPU)
    assert rows is None, "one chunk hides nothing"
    rows = Mask(5, causal=False, chunk=4).rows(0, 2, 7, CPU)
    assert rows is not None and rows.tolist() == [[False] * 4 + [True] * 3] * 2


@pytest.mark.parametrize("backend", list(Backend))
def test_every_backend_keeps_to_chunks(backend: Backend) -> None:
    q, k, v = torch.randn(3, 1, 2, 10, 8, generator=torch.Generator().manual_seed(0)).unbind()
    out = attend(q, k, v, scale=0.3, mask=Mask(0, chunk=4), backend=backend)
    for start, stop in ((0, 4), (4, 8), (8, 10)):
        part = slice(start, stop)
        alone = attend(q[:, :, part], k[:, :, part], v[:, :, part], scale=0.3, mask=Mask(0), backend=Backend.EAGER)
        torch.testing.assert_close(out[:, :, part], alone)


@pytest.mark.parametrize(
    ("position", "factor"),
    [
        (0, 1.0),
        (8190, 1.0),  # the last before the first step
        (8191, 1 + 0.1 * 0.6931472),
        (16383, 1 + 0.1 * 1.0986123),
    ],
)
def test_the_temperature_rises_in_steps(position: int, factor: float) -> None:
    found = Temperature(0.1, 8192, offset=1.0).factors(torch.tensor([position]))
    assert found.item() == pytest.approx(factor)
    on_a_grid = Temperature(0.1, 8192, offset=1.0).factors(torch.tensor([[position, 3, 4, 0]]))
    assert on_a_grid.item() == pytest.approx(factor), "only time counts"
