"""The front of a GGUF file: key-value pairs, then the name, shape, type and place of every tensor.

Nothing that the file says about a length is believed before the file has proved it. Source: docs/gguf.md of ggml.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Any

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf.ggml_types import GGMLType
from mtmd_cli.gguf.metadata import Value

DEFAULT_ALIGNMENT = 32
VERSIONS = (2, 3)

# Far beyond real files (the largest vocabularies make 16 MiB and 1.3 million values); they bound time and memory.
MAX_HEADER_BYTES = 1 << 26
MAX_VALUES = 1 << 22
ITEM_COST = 16  # a key, a tensor or an array in an array takes as long to read as so many numbers
MAX_NAME_BYTES = (1 << 16) - 1
MAX_NESTING = 4
MAX_DIMENSIONS = 4

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U64 = struct.Struct("<Q")

DAMAGED = "the file is damaged or was cut short; download or convert it again"
NEWER = "the file is damaged, or newer than this program; update mtmd-cli"
DISGUISES = {
    b"version https://git-lfs": "it is a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"<": "it looks like a web page; use the download link of the file itself",
    b"PK": "it looks like a zip archive or a PyTorch checkpoint; convert it to GGUF first",
    b"ggjt"[::-1]: "it is an old GGML file; convert it to GGUF first",
}


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: bytes start .. start + nbytes of its file; shape outermost first."""

    name: str
    shape: tuple[int, ...]
    type: GGMLType
    start: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    values: dict[str, Value]
    tensors: list[TensorInfo]


def read_header(data: mmap, source: str) -> Header:
    """Parse the front of a file; `source` names it in errors. Raises GGUFError."""
    return _HeaderReader(data, source).header()


class _HeaderReader:
    """A position in the file that moves forward, and the words for where it is."""

    def __init__(self, data: mmap, source: str) -> None:
        self.data = data
        self.source = source
        self.end = min(len(data), MAX_HEADER_BYTES)
        self.position = 0
        self.place = "header"
        self.values_left = MAX_VALUES

    def header(self) -> Header:
        self.check_magic()
        tensor_count, key_count = self.u64(), self.u64()
        values = self.key_values(key_count)
        alignment = self.alignment(values)
        return Header(values, self.tensors(tensor_count, alignment))

    def check_magic(self) -> None:
        magic = self.data[:4]
        if magic not in (b"GGUF", b"FUGG"):
            start = self.data[:32]
            hint = next((hint for sign, hint in DISGUISES.items() if start.startswith(sign)), "give a .gguf file")
            raise GGUFError(f"{self.source}: not a GGUF file: it starts with {start[:8]!r}", hint=hint)
        self.position = 4
        version = self.u32()
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        if magic == b"FUGG" or (version not in VERSIONS and swapped in VERSIONS):
            raise GGUFError(
                f"{self.source}: the file is big-endian, expected little-endian",
                hint="convert it with gguf_convert_endian.py (package gguf), or take the little-endian file",
            )
        if version not in VERSIONS:
            raise GGUFError(
                f"{self.source}: GGUF version {version}, expected 2 or 3",
                hint="convert the model again with a current converter",
            )

    def key_values(self, count: int) -> dict[str, Value]:
        self.place = "number of keys"
        self.spend(count * ITEM_COST)
        values: dict[str, Value] = {}
        for index in range(count):
            self.place = f"key {index + 1} of {count}"
            key = self.name()
            if key in values:
                raise self.error(f"{_short(key)} is there twice")
            self.place = f"value of {_short(key)}"
            values[key] = self.value(self.u32())
        return values

    def alignment(self, values: dict[str, Value]) -> int:
        alignment = values.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            self.place = "general.alignment"
            raise self.error(f"{_short(str(alignment))} is not a power of two")
        return alignment

    def tensors(self, count: int, alignment: int) -> list[TensorInfo]:
        self.place = "number of tensors"
        self.spend(count * ITEM_COST)
        entries: list[tuple[str, tuple[int, ...], GGMLType, int]] = []
        names: set[str] = set()
        for index in range(count):
            self.place = f"tensor {index + 1} of {count}"
            name = self.name()
            if name in names:
                raise self.error(f"{_short(name)} is there twice")
            names.add(name)
            self.place = f"tensor {_short(name)}"
            entries.append((name, self.shape(), self.tensor_type(), self.u64()))
        return self.placed(entries, alignment)

    def placed(self, entries: list[tuple[str, tuple[int, ...], GGMLType, int]], alignment: int) -> list[TensorInfo]:
        """Check that the tensors lie one after the other, each aligned, within the file."""
        data_start = _aligned(self.position, alignment)
        expected = 0
        tensors: list[TensorInfo] = []
        for name, shape, type, offset in entries:
            self.place = f"tensor {_short(name)}"
            row = shape[-1] if shape else 1
            if row % type.block:
                raise self.error(
                    f"a row has {row} elements, not a multiple of the {type.block} in a block of {type.name}"
                )
            nbytes = prod(shape) // type.block * type.block_bytes
            if offset != expected:
                raise self.error(f"its data is at offset {offset}, expected {expected}")
            start = data_start + offset
            if start + nbytes > len(self.data):
                raise self.error(f"its data ends at byte {start + nbytes}, but the file has only {len(self.data)}")
            tensors.append(TensorInfo(name, shape, type, start, nbytes))
            expected = _aligned(offset + nbytes, alignment)
        return tensors

    def shape(self) -> tuple[int, ...]:
        count = self.u32()
        if count > MAX_DIMENSIONS:
            raise self.error(f"{count} dimensions, expected at most {MAX_DIMENSIONS}")
        dimensions = self.unpack("Q", count)
        if 0 in dimensions:
            raise self.error(f"a dimension is 0: {dimensions}")
        return tuple(reversed(dimensions))

    def tensor_type(self) -> GGMLType:
        number = self.u32()
        try:
            return GGMLType(number)
        except ValueError:
            raise self.error(f"type {number} is unknown", hint=NEWER) from None

    def value(self, type: int, depth: int = 0) -> Value:
        if type in SCALARS:
            value: Value = self.unpack(SCALARS[type], 1)[0]
            return value
        if type == STRING:
            # A lone string is shown or parsed as text; one that is broken should still be printable.
            return self.take(self.u64()).decode("utf-8", "replace")
        if type == ARRAY:
            return self.array(depth + 1)
        raise self.error(f"value type {type} is unknown", hint=NEWER)

    def array(self, depth: int) -> tuple[Value, ...]:
        if depth > MAX_NESTING:
            raise self.error(f"arrays are nested deeper than {MAX_NESTING}")
        type, count = self.u32(), self.u64()
        self.spend(count * (ITEM_COST if type == ARRAY else 1))
        if type in SCALARS:
            return self.unpack(SCALARS[type], count)
        if type == STRING:
            return tuple(self.strings(count))
        return tuple(self.value(type, depth) for _ in range(count))

    def strings(self, count: int) -> list[str]:
        """The hot loop: vocabularies and merges have hundreds of thousands of entries."""
        data, position, end, length_at = self.data, self.position, self.end, U64.unpack_from
        strings: list[str] = []
        for _ in range(count):
            if position + 8 > end:
                break
            start = position + 8
            position = start + length_at(data, position)[0]
            if position > end:
                break
            # A vocabulary may hold pieces of characters; surrogateescape keeps their bytes.
            strings.append(data[start:position].decode("utf-8", "surrogateescape"))
        if len(strings) < count:
            raise self.error(f"string {len(strings) + 1} of {count} runs past the end of the file")
        self.position = position
        return strings

    def name(self) -> str:
        length = self.u64()
        if length > MAX_NAME_BYTES:
            raise self.error(f"a name of {length} bytes, expected at most {MAX_NAME_BYTES}")
        raw = self.take(length)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"the name {raw[:40]!r} is not UTF-8") from None

    def u32(self) -> int:
        value: int = self.unpack("I", 1)[0]
        return value

    def u64(self) -> int:
        value: int = self.unpack("Q", 1)[0]
        return value

    def unpack(self, code: str, count: int) -> tuple[Any, ...]:
        nbytes = count * struct.calcsize("<" + code)
        self.need(nbytes)
        values = struct.unpack_from(f"<{count}{code}", self.data, self.position)
        self.position += nbytes
        return values

    def take(self, nbytes: int) -> bytes:
        self.need(nbytes)
        start, self.position = self.position, self.position + nbytes
        return self.data[start : self.position]

    def need(self, nbytes: int) -> None:
        """Raise unless the header has so many bytes left."""
        left = self.end - self.position
        if nbytes > left:
            limit = "in the file" if self.end == len(self.data) else f"of the {MAX_HEADER_BYTES} that a header may have"
            raise self.error(f"{nbytes} bytes expected at byte {self.position}, but {left} are left {limit}")

    def spend(self, values: int) -> None:
        """Raise when a count is beyond what a whole header may hold, before anything is made of it."""
        self.values_left -= values
        if self.values_left < 0:
            raise self.error(f"{values} values would be more than {MAX_VALUES} in all")

    def error(self, found: str, hint: str = DAMAGED) -> GGUFError:
        return GGUFError(f"{self.source}: {self.place}: {found}", hint=hint)


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
