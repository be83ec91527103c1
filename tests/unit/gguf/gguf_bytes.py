"""GGUF files byte by byte, so that a test can tell any lie that a file could."""

from __future__ import annotations

import struct
from collections.abc import Sequence

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u64(len(raw)) + raw


def array(type: int, count: int, payload: bytes) -> bytes:
    """What follows the value type ARRAY."""
    return u32(type) + u64(count) + payload


def key(name: str | bytes, type: int, payload: bytes) -> bytes:
    return string(name) + u32(type) + payload


def tensor(name: str | bytes, ne: Sequence[int], *, type: int = 0, offset: int = 0, dimensions: int = -1) -> bytes:
    """One entry of the tensor table; ne is innermost first, as ggml counts."""
    count = len(ne) if dimensions < 0 else dimensions
    return string(name) + u32(count) + b"".join(map(u64, ne)) + u32(type) + u64(offset)


def pack(
    keys: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A whole file; the counts are those of the lists unless a test says otherwise."""
    counts = u64(len(tensors) if tensor_count is None else tensor_count) + u64(
        len(keys) if key_count is None else key_count
    )
    head = magic + u32(version) + counts + b"".join(keys) + b"".join(tensors)
    padding = b"\0" * (-len(head) % alignment) if tensors else b""
    return head + padding + data
