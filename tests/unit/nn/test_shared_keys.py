"""Layers that read another's keys, that stay causal for images, and tables that stay in their file."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtmd_cli.errors import ImageError
from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.nn.layer_inputs import FileTable
from mtmd_cli.nn.linear import ClampedLinear
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import AxisPositions
from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, FeedForward, Layer

WIDTH, HEAD = 16, 8
F32 = CacheType("f32")


def a_decoder(*mixers: Attention) -> Decoder:
    layers = tuple(Layer(mixer, FeedForward(24, Activation.SILU)) for mixer in mixers)
    decoder = Decoder(DecoderSpec(WIDTH, 20, 64, 1e-6, layers), Parts({}), torch.float32)
    generator = torch.Generator().manual_seed(0)
    for parameter in decoder.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    decoder.on_loaded(torch.device("cpu"))
    return decoder


def mixer(*, keys_of: int | None = None, both_ways: bool = True) -> Attention:
    return Attention(2, 1, HEAD, HEAD, 1.0, Rope(HEAD, 100.0), keys_of=keys_of, both_ways=both_ways)


def read(decoder: Decoder, x: Tensor, *, causal: bool) -> Tensor:
    return decoder(x, torch.arange(len(x)), decoder.new_cache(F32, F32), causal=causal)


@torch.inference_mode()
def test_a_shared_memory_counts_once() -> None:
    decoder = a_decoder(mixer(), mixer(keys_of=0), mixer(keys_of=0))
    alone = a_decoder(mixer())
    caches = [model.new_cache(F32, F32) for model in (decoder, alone)]
    for model, cache in zip((decoder, alone), caches, strict=True):
        model(torch.randn(5, WIDTH), torch.arange(5), cache)
    assert caches[0].nbytes == caches[1].nbytes > 0
    assert not any(name.startswith("blk.1._mixer.attn_k") for name, _ in decoder.named_parameters())


@pytest.mark.parametrize("both_ways", [True, False])
@torch.inference_mode()
def test_an_image_is_read_both_ways_by_the_layers_that_can(both_ways: bool) -> None:
    decoder, image = a_decoder(mixer(both_ways=both_ways)), torch.randn(6, WIDTH)
    differ = not torch.allclose(read(decoder, image, causal=False), read(decoder, image, causal=True))
    assert differ == both_ways


def test_a_table_is_read_from_the_bytes_of_its_file() -> None:
    numbers = torch.arange(12.0).view(4, 3)
    tensor = PackedTensor("table", (4, 3), GGMLType.F32, numbers.flatten().view(torch.uint8))
    table = FileTable(4, 3)
    assert table.receive("weight", tensor, torch.device("cpu"), torch.float32)
    assert not list(table.parameters()) and not list(table.buffers()), "nothing to copy to a device"
    numbers[2] += 100
    assert table(torch.tensor([2, 0]), torch.float32).tolist() == [[106, 107, 108], [0, 1, 2]]


def test_bounds_hold_what_goes_in_and_what_comes_out() -> None:
    linear = ClampedLinear(1, 1, ("input_max", "output_min"))
    values = {"weight": 2.0, "input_max": 3.0, "output_min": -1.0}
    linear.load_state_dict({name: torch.full_like(linear.get_parameter(name), v) for name, v in values.items()})
    assert linear(torch.tensor([[5.0], [1.0], [-4.0]])).flatten().tolist() == [6, 2, -1]


def test_an_edge_has_as_many_places_as_its_table() -> None:
    positions = AxisPositions(4, 8)
    with pytest.raises(ImageError, match="becomes 5×2 patches, and the model knows 4 places"):
        positions(2, 5)
