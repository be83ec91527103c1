"""Open GGUF files: map them into memory, join the parts of a split model."""

from __future__ import annotations

import mmap
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mtmd_cli.errors import FileError, GGUFError
from mtmd_cli.gguf.header import Header, read_header
from mtmd_cli.gguf.metadata import Metadata
from mtmd_cli.gguf.tensor import PackedTensor

PART_NAME = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
ALL_PARTS = "put all parts of the model into one folder, names unchanged, and open the first one"


@dataclass(frozen=True, eq=False)
class GGUFFile:
    """The metadata and the packed tensors of one model, whether it lies in one file or in parts."""

    path: Path
    metadata: Metadata
    tensors: Mapping[str, PackedTensor] = field(repr=False)
    maps: tuple[mmap.mmap, ...] = field(default=(), repr=False)

    def release_pages(self) -> None:
        """Give the memory of the file's pages back; what is read again comes from the file again."""
        for mapped in self.maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


def open_gguf(path: str | Path) -> GGUFFile:
    """Map the file and parse its header; tensor data is not read before it is used.

    `-00001-of-0000N.gguf` opens all N parts. Raises FileError when it cannot be read, GGUFError when it cannot be true.
    """
    path = Path(path)
    header, mapped, tensors = _open_part(path)
    maps = [mapped]
    metadata = Metadata(header.values, path.name)
    count = metadata.int("split.count", 1)
    if count > 1:
        maps += _join_parts(path, metadata, count, tensors)
    return GGUFFile(path, metadata, tensors, tuple(maps))


def _join_parts(path: Path, first: Metadata, count: int, tensors: dict[str, PackedTensor]) -> list[mmap.mmap]:
    """Add the tensors of parts 2 .. count to those of the first."""
    maps = []
    name = PART_NAME.fullmatch(path.name)
    if first.int("split.no") != 0 or not name or int(name["count"]) != count:
        number = first.int("split.no") + 1
        raise GGUFError(f"{path.name} is part {number} of {count} of a split model", hint=ALL_PARTS)
    for number in range(2, count + 1):
        part = path.with_name(f"{name['prefix']}-{number:05}-of-{count:05}.gguf")
        if not part.exists():
            raise FileError(f"{part.name} is missing: part {number} of {count} of {path.name}", hint=ALL_PARTS)
        header, mapped, more = _open_part(part)
        maps.append(mapped)
        metadata = Metadata(header.values, part.name)
        found = (metadata.int("split.no") + 1, metadata.int("split.count"))
        if found != (number, count):
            raise GGUFError(f"{part.name} says that it is part {found[0]} of {found[1]}", hint=ALL_PARTS)
        if twice := tensors.keys() & more.keys():
            raise GGUFError(f"{part.name}: tensor {min(twice)!r} is in an earlier part too", hint=ALL_PARTS)
        tensors.update(more)
    expected = first.int("split.tensors.count", len(tensors))
    if len(tensors) != expected:
        raise GGUFError(f"{path.name}: the parts hold {len(tensors)} tensors, expected {expected}", hint=ALL_PARTS)
    return maps


def _open_part(path: Path) -> tuple[Header, mmap.mmap, dict[str, PackedTensor]]:
    mapped = _map(path)
    header = read_header(mapped, path.name)
    data = torch.frombuffer(mapped, dtype=torch.uint8)
    return (
        header,
        mapped,
        {
            info.name: PackedTensor(info.name, info.shape, info.type, data[info.start : info.start + info.nbytes])
            for info in header.tensors
        },
    )


def _map(path: Path) -> mmap.mmap:
    """The file as memory whose pages are read when touched; writing would change a private copy, never the file."""
    try:
        if path.is_dir():
            raise FileError(f"{path} is a directory, expected a GGUF file", hint="name the .gguf file in it")
        if path.exists() and not path.is_file():  # a pipe would block, a device has no size
            raise FileError(f"{path} is not a regular file", hint="give a .gguf file on disk")
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise GGUFError(f"{path.name}: the file is empty", hint="download or convert it again")
            if sys.platform == "linux":
                # Linux would set RAM aside for a private copy of every page, and refuse models larger than its RAM.
                no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
                writable = mmap.PROT_READ | mmap.PROT_WRITE
                return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | no_reserve, prot=writable)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file", hint="check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(f"{path} cannot be read: {reason}", hint="check the path and its permissions") from None
