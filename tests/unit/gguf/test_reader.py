"""What a sound file holds arrives as it was written; gguf-py is the independent witness."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from mtmd_cli.errors import FileError, GGUFError
from mtmd_cli.gguf import GGMLType, GGUFFile, Value, open_gguf
from tests.unit.gguf.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    array,
    key,
    pack,
    string,
    tensor,
    u32,
    u64,
)


def write(folder: Path, data: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("type", "payload", "value"),
    [
        (U8, b"\xff", 255),
        (I8, b"\xff", -1),
        (U16, b"\xff\xff", 65535),
        (I16, b"\xff\xff", -1),
        (U32, u32(1 << 31), 1 << 31),
        (I32, u32(1 << 31), -(1 << 31)),
        (U64, u64(1 << 63), 1 << 63),
        (I64, u64(1 << 63), -(1 << 63)),
        (F32, struct.pack("<f", 0.5), 0.5),
        (F64, struct.pack("<d", 0.1), 0.1),
        (BOOL, b"\0", False),
        (BOOL, b"\1", True),
        (STRING, string("grüße"), "grüße"),
        (STRING, string(b"cut \xe2\x96"), "cut \N{REPLACEMENT CHARACTER}"),  # text can always be shown
        (ARRAY, array(U8, 0, b""), ()),
        (ARRAY, array(I16, 2, b"\1\0\xff\xff"), (1, -1)),
        (ARRAY, array(BOOL, 2, b"\1\0"), (True, False)),
        (ARRAY, array(STRING, 2, string("a") + string("")), ("a", "")),
        (ARRAY, array(ARRAY, 2, array(U8, 1, b"\7") + array(STRING, 1, string("x"))), ((7,), ("x",))),
    ],
)
def test_every_type_of_value(tmp_path: Path, version: int, type: int, payload: bytes, value: Value) -> None:
    found = open_gguf(write(tmp_path, pack([key("k", type, payload)], version=version))).metadata["k"]
    assert found == value
    assert isinstance(found, value.__class__)


def test_a_vocabulary_keeps_pieces_of_characters(tmp_path: Path) -> None:
    vocabulary = key("tokens", ARRAY, array(STRING, 2, string(b"\xe2\x96") + string("▁")))
    tokens = open_gguf(write(tmp_path, pack([vocabulary]))).metadata.strs("tokens")
    assert [token.encode("utf-8", "surrogateescape") for token in tokens] == [b"\xe2\x96", "▁".encode()]


@pytest.mark.parametrize("alignment", [1, 8, 32, 4096])
def test_tensors_lie_aligned_one_after_the_other(tmp_path: Path, alignment: int) -> None:
    first = struct.pack("<3f", 1, 2, 3)
    first += b"\0" * (-len(first) % alignment)
    data = pack(
        [key("general.alignment", U32, u32(alignment)), key("odd", U8, b"\0")],
        [tensor("a", [3]), tensor("b", [2, 1], offset=len(first))],
        first + struct.pack("<2f", 4, 5),
        alignment=alignment,
    )
    tensors = open_gguf(write(tmp_path, data)).tensors
    assert tensors["a"].dequantise().tolist() == [1, 2, 3]
    assert tensors["b"].dequantise().tolist() == [[4, 5]]


def test_a_shape_is_outermost_first(tmp_path: Path) -> None:
    tensors = open_gguf(write(tmp_path, pack(tensors=[tensor("a", [4, 3, 2])], data=bytes(96)))).tensors
    assert tensors["a"].shape == (2, 3, 4)


def test_a_number_alone_has_no_dimensions(tmp_path: Path) -> None:
    tensors = open_gguf(write(tmp_path, pack(tensors=[tensor("a", [])], data=struct.pack("<f", 7)))).tensors
    assert tensors["a"].dequantise().item() == 7


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path, pack(tensors=[tensor("a", [2])], data=bytes(8)))
    open_gguf(path).tensors["a"].dequantise().fill_(1)
    assert open_gguf(path).tensors["a"].dequantise().tolist() == [0, 0]


def test_opening_reads_no_tensor_data(tmp_path: Path) -> None:
    """A tensor of 1 TiB, more than any memory: only the pages that are asked for are read."""
    path = write(tmp_path, pack(tensors=[tensor("a", [1 << 20, 1 << 18])]))
    with path.open("r+b") as file:
        try:
            file.truncate((1 << 40) + 4096)
        except OSError:
            pytest.skip("this file system has no sparse files of 1 TiB")
    weight = open_gguf(path).tensors["a"]
    assert weight.nbytes == 1 << 40
    assert weight.rows(torch.tensor([200_000])).shape == (1, 1 << 20)


def test_a_large_vocabulary_opens_at_once(tmp_path: Path) -> None:
    """151,936 tokens and as many merges take about 0.1 s; ten times that is still far from gguf-py's 6.7 s."""
    words = b"".join(string(f"token{index}") for index in range(151_936))
    path = write(tmp_path, pack([key(name, ARRAY, array(STRING, 151_936, words)) for name in ("tokens", "merges")]))
    start = time.process_time()
    open_gguf(path)
    assert time.process_time() - start < 1


# Split models


def part(number: int, count: int, *, tensors: int, names: str = "a") -> bytes:
    """Part `number`, from 0, of a model: one tensor of two numbers for each letter of `names`."""
    keys = [
        key("split.no", U16, struct.pack("<H", number)),
        key("split.count", U16, struct.pack("<H", count)),
        key("split.tensors.count", I32, u32(tensors)),
    ]
    entries = [tensor(name, [8], offset=32 * index) for index, name in enumerate(names)]
    return pack(keys, entries, struct.pack("<f", number) * 8 * len(names))


def test_the_parts_of_a_model_are_joined(tmp_path: Path) -> None:
    first = write(tmp_path, part(0, 3, tensors=4, names="ab"), "m-00001-of-00003.gguf")
    write(tmp_path, part(1, 3, tensors=4, names="c"), "m-00002-of-00003.gguf")
    write(tmp_path, part(2, 3, tensors=4, names="d"), "m-00003-of-00003.gguf")
    tensors = open_gguf(first).tensors
    assert {name: weight.dequantise()[0].item() for name, weight in tensors.items()} == {"a": 0, "b": 0, "c": 1, "d": 2}


@pytest.mark.parametrize(
    ("name", "first", "second", "message"),
    [
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), None, "m-00002-of-00002.gguf is missing"),
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), part(1, 2, tensors=2), "'a' is in an earlier part"),
        (
            "m-00001-of-00002.gguf",
            part(0, 2, tensors=9),
            part(1, 2, tensors=9, names="b"),
            "hold 2 tensors, expected 9",
        ),
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), part(0, 2, tensors=2, names="b"), "says that it is part 1"),
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), part(1, 5, tensors=2, names="b"), "part 2 of 5"),
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), pack(), "split.no is missing"),
        ("m-00001-of-00002.gguf", part(0, 2, tensors=2), b"GGUF", "m-00002-of-00002.gguf: "),
        ("m-00001-of-00002.gguf", part(1, 2, tensors=2), part(1, 2, tensors=2), "is part 2 of 2"),
        ("m-00001-of-00002.gguf", part(0, 65535, tensors=2), None, "is part 1 of 65535"),
        ("renamed.gguf", part(0, 2, tensors=2), part(1, 2, tensors=2), "is part 1 of 2 of a split model"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, name: str, first: bytes, second: bytes | None, message: str) -> None:
    path = write(tmp_path, first, name)
    if second is not None:
        write(tmp_path, second, "m-00002-of-00002.gguf")
    with pytest.raises(FileError, match=message) as caught:
        open_gguf(path)
    assert caught.value.hint


def test_a_later_part_asks_for_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, part(1, 2, tensors=2), "m-00002-of-00002.gguf")
    with pytest.raises(GGUFError, match="part 2 of 2") as caught:
        open_gguf(path)
    assert "open the first" in caught.value.hint


# The witness


def assert_as_gguf_py_reads_it(path: Path) -> None:
    found, witness = open_gguf(path), gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in witness.fields.items() if not name.startswith("GGUF.")}
    assert {name: _listed(value) for name, value in found.metadata.items()} == fields
    assert list(found.tensors) == [entry.name for entry in witness.tensors]
    for entry in witness.tensors:
        weight = found.tensors[entry.name]
        assert weight.shape == tuple(reversed(entry.shape.tolist()))
        assert weight.type.name == entry.tensor_type.name
        assert np.array_equal(weight.data.numpy(), entry.data.view(np.uint8).reshape(-1))


def _listed(value: Value) -> object:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def test_a_file_by_gguf_py(tmp_path: Path) -> None:
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_token_list([b"a", "ü".encode(), b"\xe2\x96\x81b"])
    writer.add_token_scores([0.0, -1.0, -2.5])
    writer.add_key_value("k.bool", True, gguf.GGUFValueType.BOOL)
    writer.add_key_value("k.f64", 1e300, gguf.GGUFValueType.FLOAT64)
    numbers = np.arange(64, dtype=np.float32).reshape(2, 32)
    writer.add_tensor("float", numbers)
    writer.add_tensor("half", numbers.astype(np.float16))
    for type in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q5_1):
        writer.add_tensor(type.name, gguf.quants.quantize(numbers, type), raw_dtype=type)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    assert_as_gguf_py_reads_it(path)
    assert open_gguf(path).tensors["Q8_0"].type is GGMLType.Q8_0


@pytest.mark.parametrize(
    "name",
    ["gemma3/text-f16.gguf", "gemma3/mmproj.gguf", "idefics3/text.gguf", "idefics3/mmproj.gguf"]
    + [f"qwen2vl/text-{quant}.gguf" for quant in ("q8_0", "q4_0", "q4_k_m", "q5_k_m", "q6_k")],
)
def test_a_golden_file(golden_root: Path, name: str) -> None:
    path = golden_root / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    assert_as_gguf_py_reads_it(path)


def test_every_golden_file_opens(golden_root: Path) -> None:
    files = sorted(golden_root.rglob("*.gguf"))
    if not files:
        pytest.skip("no golden files here")
    for path in files:
        assert isinstance(open_gguf(path), GGUFFile)
