"""The GGUF file format: metadata by type, tensors packed as the file holds them."""

from mtmd_cli.gguf.ggml_types import GGMLType
from mtmd_cli.gguf.metadata import Metadata, Value
from mtmd_cli.gguf.reader import GGUFFile, open_gguf
from mtmd_cli.gguf.tensor import PackedTensor

__all__ = ["GGMLType", "GGUFFile", "Metadata", "PackedTensor", "Value", "open_gguf"]
