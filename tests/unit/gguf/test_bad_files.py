"""A file that lies gets one clear error, quickly, and without memory that it has not paid for."""

from __future__ import annotations

import os
import resource
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtmd_cli.errors import FileError, GGUFError, MtmdError
from mtmd_cli.gguf import open_gguf
from tests.unit.gguf.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U8,
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

HUGE = (1 << 63, (1 << 64) - 1, 1 << 40)
SOUND = pack(
    keys=[
        key("general.architecture", STRING, string("llama")),
        key("general.alignment", U32, u32(64)),
        key("tokens", ARRAY, array(STRING, 3, string("a") + string(b"\xe2\x96") + string("c"))),
        key("nested", ARRAY, array(ARRAY, 2, array(U8, 2, b"\1\2") + array(F32, 1, struct.pack("<f", 0.5)))),
        key("flag", BOOL, b"\1"),
    ],
    tensors=[tensor("a.weight", [4, 2]), tensor("b.weight", [32, 2], type=8, offset=64)],
    data=bytes(64 + 2 * 34),
    alignment=64,
)


def open_bytes(folder: Path, data: bytes) -> None:
    path = folder / "model.gguf"
    path.write_bytes(data)
    open_gguf(path)


def test_the_sound_file_opens(tmp_path: Path) -> None:
    open_bytes(tmp_path, SOUND)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        open_gguf(tmp_path / "missing.gguf")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a directory"):
        open_gguf(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are a thing of Unix")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="not a regular file"):
        open_gguf(tmp_path / "pipe")


def test_a_path_that_no_system_accepts() -> None:
    with pytest.raises(FileError):
        open_gguf("a\0b.gguf")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(SOUND)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(FileError, match="cannot be read"):
        open_gguf(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"GG", "not a GGUF file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a GGUF file"),
        (b"GGUF", "4 bytes expected at byte 4, but 0 are left"),
        (pack(version=1), "GGUF version 1, expected 2 or 3"),
        (pack(version=99), "GGUF version 99"),
        (pack(version=0), "GGUF version 0"),
        (pack(version=3 << 24), "big-endian"),
        (pack(version=2 << 24), "big-endian"),
        (pack(magic=b"FUGG", version=3 << 24), "big-endian"),
    ],
)
def test_not_a_file_of_ours(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(GGUFError, match=message):
        open_bytes(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "way_out"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "link of the file itself"),
        (b"PK\3\4" + bytes(40), "convert it to GGUF"),
        (b"tjgg" + bytes(40), "convert it to GGUF"),
    ],
)
def test_a_file_of_another_kind_is_recognised(tmp_path: Path, data: bytes, way_out: str) -> None:
    with pytest.raises(GGUFError) as caught:
        open_bytes(tmp_path, data)
    assert way_out in caught.value.hint


LIES_ABOUT_KEYS = [
    *((f"{count} keys", pack(key_count=count), "number of keys") for count in HUGE),
    ("one key too many", pack([key("a", U8, b"\1")], key_count=2), "key 2 of 2"),
    *((f"a name of {n} bytes", pack([u64(n) + b"name" + bytes(9)]), "a name of") for n in HUGE),
    ("a name beyond the file", pack([u64(300) + b"name" + bytes(9)]), "300 bytes expected"),
    ("a name that is not UTF-8", pack([key(b"\xff\xfe", U8, b"\1")]), "not UTF-8"),
    ("a key twice", pack([key("a", U8, b"\1"), key("a", U8, b"\2")]), "'a' is there twice"),
    ("an unknown type", pack([key("a", 13, bytes(8))]), "value type 13 is unknown"),
    ("an unknown type in an array", pack([key("a", ARRAY, array(77, 1, bytes(16)))]), "value type 77 is unknown"),
    *((f"a string of {n} bytes", pack([key("a", STRING, u64(n) + b"text")]), "value of 'a'") for n in HUGE),
    *((f"{n} numbers", pack([key("a", ARRAY, array(U8, n, b"\1\2"))]), "value of 'a'") for n in HUGE),
    *((f"{n} strings", pack([key("a", ARRAY, array(STRING, n, string("x")))]), "value of 'a'") for n in HUGE),
    *((f"{n} arrays", pack([key("a", ARRAY, array(ARRAY, n, bytes(12)))]), "value of 'a'") for n in HUGE),
    ("numbers beyond the file", pack([key("a", ARRAY, array(U64, 3, bytes(16)))]), "24 bytes expected"),
    ("strings beyond the file", pack([key("a", ARRAY, array(STRING, 2, string("x" * 8)))]), "string 2 of 2"),
    *(
        (
            f"a string of {n} bytes among others",
            pack([key("a", ARRAY, array(STRING, 2, string("x") + u64(n)))]),
            "2 of 2",
        )
        for n in HUGE
    ),
    ("arrays in arrays in arrays", pack([key("a", ARRAY, array(ARRAY, 1, b"") * 50 + bytes(64))]), "nested deeper"),
    ("alignment 0", pack([key("general.alignment", U32, u32(0))]), "not a power of two"),
    ("alignment 48", pack([key("general.alignment", U32, u32(48))]), "not a power of two"),
    ("alignment as text", pack([key("general.alignment", STRING, string("32"))]), "not a power of two"),
]

LIES_ABOUT_TENSORS = [
    *((f"{count} tensors", pack(tensor_count=count), "number of tensors") for count in HUGE),
    ("one tensor too many", pack(tensors=[tensor("a", [1])], data=bytes(4), tensor_count=2), "tensor"),
    ("a name that is not UTF-8", pack(tensors=[tensor(b"\xff", [1])], data=bytes(4)), "not UTF-8"),
    ("a name twice", pack(tensors=[tensor("a", [8]), tensor("a", [8], offset=32)], data=bytes(64)), "twice"),
    ("five dimensions", pack(tensors=[tensor("a", [1] * 5)], data=bytes(4)), "5 dimensions"),
    ("2^32 - 1 dimensions", pack(tensors=[tensor("a", [1], dimensions=2**32 - 1)], data=bytes(64)), "dimensions"),
    ("a dimension of 0", pack(tensors=[tensor("a", [4, 0])], data=bytes(4)), "dimension is 0"),
    *((f"a dimension of {n}", pack(tensors=[tensor("a", [n])], data=bytes(64)), "its data ends at") for n in HUGE),
    ("dimensions that overflow", pack(tensors=[tensor("a", [1 << 32] * 4)], data=bytes(64)), "its data ends at"),
    ("half a block", pack(tensors=[tensor("a", [48], type=2)], data=bytes(64)), "row has 48 elements, not a multiple"),
    ("a type without number 4", pack(tensors=[tensor("a", [32], type=4)], data=bytes(64)), "type 4 is unknown"),
    ("a type of the future", pack(tensors=[tensor("a", [32], type=2**32 - 1)], data=bytes(64)), "is unknown"),
    *((f"an offset of {n}", pack(tensors=[tensor("a", [8], offset=n)], data=bytes(64)), "offset") for n in HUGE),
    ("an offset between alignments", pack(tensors=[tensor("a", [8], offset=8)], data=bytes(64)), "expected 0"),
    ("data of another", pack(tensors=[tensor("a", [8]), tensor("b", [8])], data=bytes(64)), "expected 32"),
    ("data beyond the file", pack(tensors=[tensor("a", [8])], data=bytes(31)), "its data ends at"),
    (
        "an alignment beyond the file",
        pack([key("general.alignment", U32, u32(1 << 31))], [tensor("a", [8])], bytes(64)),
        "its data ends at",
    ),
]


@pytest.mark.parametrize(
    ("data", "message"),
    [pytest.param(data, message, id=name) for name, data, message in LIES_ABOUT_KEYS + LIES_ABOUT_TENSORS],
)
def test_a_lie_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    before = time.process_time()
    with pytest.raises(GGUFError, match=message) as caught:
        open_bytes(tmp_path, data)
    assert time.process_time() - before < 1
    assert "model.gguf" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("percent", range(0, 100, 2))
def test_truncated(tmp_path: Path, percent: int) -> None:
    with pytest.raises(GGUFError):
        open_bytes(tmp_path, SOUND[: len(SOUND) * percent // 100])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(array(U8, 1 << 30, b""), id="numbers"),
        pytest.param(array(U8, 1 << 25, b""), id="numbers within the limit of a header"),
        pytest.param(array(STRING, 1 << 26, b""), id="strings"),
        pytest.param(array(ARRAY, 1 << 26, b""), id="arrays"),
        pytest.param(array(ARRAY, 1 << 21, b""), id="arrays within the limit of a header"),
        pytest.param(u64(1 << 31), id="text"),
    ],
)
def test_a_large_file_of_zeros_cannot_buy_memory(tmp_path: Path, value: bytes) -> None:
    """The lengths are true here, for the file has the bytes: no real header is like that all the same."""
    path = tmp_path / "zeros.gguf"
    type = STRING if len(value) == 8 else ARRAY
    path.write_bytes(pack([key("a", type, value)]))
    with path.open("r+b") as file:
        file.truncate(4 << 30)
    before, start = _peak_memory(), time.process_time()
    with pytest.raises(GGUFError):
        open_gguf(path)
    assert time.process_time() - start < 1
    assert _peak_memory() - before < 64 << 20


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=8)), max_size=4),
    length=st.integers(0, len(SOUND)) | st.just(len(SOUND)),
)
def test_whatever_the_damage_the_error_is_ours(tmp_path: Path, edits: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(SOUND)
    for position, new in edits:
        data[position : position + len(new)] = new
    with suppress(MtmdError):  # damage that changes only a number may go unseen
        open_bytes(tmp_path, bytes(data[:length]))
