"""Our C kernels of the CPU, as Python sees them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import Enum
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mtmd_cli.errors import OutOfMemory
from mtmd_cli.gguf import GGMLType
from mtmd_cli.nn.kernels.cpu.build import NoLibrary, build

HERE = Path(__file__).parent
INT, LONG, POINTER = ctypes.c_int, ctypes.c_long, ctypes.c_void_p
FLOATS = (torch.float32, torch.bfloat16)


class Instructions(Enum):
    """What a build may use of the CPU: the compiler's flags."""

    AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c")
    AVX2 = ("-mavx2", "-mfma", "-mf16c")
    PLAIN = ()


def instructions_here() -> list[Instructions]:
    """What this CPU can run, the fastest first."""
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    avx2 = all(can.get(name) for name in ("avx2", "fma3", "f16c"))
    avx512 = avx2 and all(can.get(f"avx512_{name}") for name in ("f", "bw", "vl", "dq", "vnni"))
    found = [Instructions.AVX512] if avx512 else []
    return [*found, *([Instructions.AVX2] if avx2 else []), Instructions.PLAIN]


class Library:
    """The functions of one compiled library. Tensors are contiguous, on the CPU; the callers see to it."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._layout = _function(library.mtmd_layout, [INT], INT)
        self._bytes = _function(library.mtmd_bytes, [INT, LONG, LONG], LONG)
        self._pack = _function(library.mtmd_pack, [INT, POINTER, LONG, LONG, POINTER, INT], None)
        self._rows = _function(library.mtmd_rows, [INT, POINTER, LONG, LONG, POINTER, LONG, POINTER], INT)
        arguments = [INT, POINTER, LONG, LONG, POINTER, INT, LONG, POINTER, INT]
        self._linear = _function(library.mtmd_linear, arguments, INT)
        self.instructions: str = _function(library.mtmd_instructions, [], ctypes.c_char_p)().decode()

    def layout(self, kind: GGMLType) -> int | None:
        """The layout that weights of this type take, None for types that have none."""
        layout = self._layout(int(kind))
        return None if layout < 0 else layout

    def pack(self, source: Tensor, kind: GGMLType, columns: int) -> Tensor:
        """Lay out matrices. source: uint8 (..., rows, bytes of a row) in ggml blocks -> uint8 (..., bytes)"""
        rows, size = source.shape[-2], source[0].nbytes if source.dim() > 2 else source.nbytes
        out = torch.empty(*source.shape[:-2], self._bytes(self._layout(int(kind)), rows, columns), dtype=torch.uint8)
        for matrix in range(source.nbytes // size):
            from_, to = source.data_ptr() + matrix * size, out.data_ptr() + matrix * out.shape[-1]
            self._pack(int(kind), from_, rows, columns, to, torch.get_num_threads())
        return out

    def rows(self, weight: Tensor, layout: int, shape: tuple[int, int], index: Tensor) -> Tensor:
        """Rows of laid out weights of `shape`: index int64 (n,) -> f32 (n, columns). Raises IndexError."""
        out = torch.empty(len(index), shape[1])
        if self._rows(layout, weight.data_ptr(), *shape, index.data_ptr(), len(index), out.data_ptr()):
            raise IndexError(f"a row of {index.tolist()} is not among {shape[0]}")
        return out

    def linear(self, x: Tensor, weight: Tensor, layout: int, rows: int) -> Tensor:
        """x Wᵀ. x: f32 or bf16 (..., columns) -> (..., rows) of the same type"""
        out = x.new_empty((*x.shape[:-1], rows))
        self.linear_into(out, x, weight, layout)
        return out

    def linear_into(self, out: Tensor, x: Tensor, weight: Tensor, layout: int) -> None:
        """The same, into memory that is there."""
        x = x.contiguous()
        columns, rows, is_bf16 = x.shape[-1], out.shape[-1], x.dtype is torch.bfloat16
        n, threads = x.numel() // columns, torch.get_num_threads()
        x_at, weight_at, out_at = x.data_ptr(), weight.data_ptr(), out.data_ptr()
        if self._linear(layout, weight_at, rows, columns, x_at, is_bf16, n, out_at, threads):
            raise OutOfMemory("no memory is left for the activations of a product", hint="use a smaller --ubatch-size")


@cache
def library() -> Library | str:
    """The kernels for this CPU, or the reason why there are none."""
    fastest = instructions_here()[0]
    if fastest is Instructions.PLAIN:
        # Measured: plain C reaches a quarter of what torch's products do on dequantised weights.
        return "a CPU without AVX2, where torch is faster than our kernels"
    return load_library(fastest)


def load_library(instructions: Instructions, cache_folder: Path | None = None) -> Library | str:
    """The kernels for one set of instructions, or the reason why there are none."""
    sources: Sequence[Path] = [path for path in HERE.iterdir() if path.suffix in (".c", ".h")]
    try:
        return Library(build(sources, instructions.value, cache_folder))
    except NoLibrary as error:
        return str(error)
    except OSError as error:
        return f"the compiled kernels do not load: {error}"


def _function(
    function: ctypes._NamedFuncPointer, arguments: Sequence[type], result: type | None
) -> ctypes._NamedFuncPointer:
    function.argtypes, function.restype = arguments, result
    return function
