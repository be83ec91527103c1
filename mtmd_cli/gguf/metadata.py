"""The key-value part of a GGUF file, read by type."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

from mtmd_cli.errors import GGUFError

Value: TypeAlias = bool | int | float | str | tuple["Value", ...]


class _Required(Enum):
    REQUIRED = "no default: the key must be there"


REQUIRED: Final = _Required.REQUIRED
D = TypeVar("D")
T = TypeVar("T")


class Metadata(Mapping[str, Value]):
    """An immutable mapping whose typed getters say exactly what is wrong.

    Each getter returns `default` for an absent key when one is given, and raises GGUFError for an absent key without
    default or for a value of another type. Integers serve where floats are expected; the list getters take a lone
    value as a list of one.
    """

    def __init__(self, values: Mapping[builtins.str, Value], source: builtins.str = "metadata") -> None:
        self._values = dict(values)
        self._source = source

    def __getitem__(self, key: builtins.str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[builtins.str]:
        return iter(self._values)

    def __len__(self) -> builtins.int:
        return len(self._values)

    def __repr__(self) -> builtins.str:
        return f"Metadata({self._source}, {len(self)} keys)"

    def str(self, key: builtins.str, default: D | _Required = REQUIRED) -> builtins.str | D:
        return self._one(key, builtins.str, default)

    def int(self, key: builtins.str, default: D | _Required = REQUIRED) -> builtins.int | D:
        return self._one(key, builtins.int, default)

    def float(self, key: builtins.str, default: D | _Required = REQUIRED) -> builtins.float | D:
        return self._one(key, builtins.float, default)

    def bool(self, key: builtins.str, default: D | _Required = REQUIRED) -> builtins.bool | D:
        return self._one(key, builtins.bool, default)

    def strs(self, key: builtins.str, default: D | _Required = REQUIRED) -> list[builtins.str] | D:
        return self._many(key, builtins.str, default)

    def ints(self, key: builtins.str, default: D | _Required = REQUIRED) -> list[builtins.int] | D:
        return self._many(key, builtins.int, default)

    def floats(self, key: builtins.str, default: D | _Required = REQUIRED) -> list[builtins.float] | D:
        return self._many(key, builtins.float, default)

    def bools(self, key: builtins.str, default: D | _Required = REQUIRED) -> list[builtins.bool] | D:
        return self._many(key, builtins.bool, default)

    def layers(
        self, key: builtins.str, count: builtins.int, default: builtins.int | _Required = REQUIRED
    ) -> list[builtins.int]:
        """One integer for each of `count` layers, from an array of that length or a single value for all."""
        if key not in self._values and not isinstance(default, _Required):
            return [default] * count
        values = self.ints(key)
        if not isinstance(self._values[key], tuple):
            return values * count
        if len(values) != count:
            raise self._error(f"{key} has {len(values)} values, expected one for each of {count} layers")
        return values

    def _one(self, key: builtins.str, kind: type[T], default: D | _Required) -> T | D:
        if key not in self._values and not isinstance(default, _Required):
            return default
        value = self._present(key)
        if not _is(value, kind):
            raise self._error(f"{key} is {_describe(value)}, expected {_KINDS[kind]}")
        return kind(value)  # type: ignore[call-arg]  # int -> float

    def _many(self, key: builtins.str, kind: type[T], default: D | _Required) -> list[T] | D:
        if key not in self._values and not isinstance(default, _Required):
            return default
        value = self._present(key)
        values = value if isinstance(value, tuple) else (value,)
        # One pass in C over a vocabulary of 262,144 words.
        if not set(map(type, values)) <= ({kind, int} if kind is float else {kind}):
            raise self._error(f"{key} is {_describe(value)}, expected an array, each value {_KINDS[kind]}")
        return list(map(kind, values))

    def _present(self, key: builtins.str) -> Value:
        if key in self._values:
            return self._values[key]
        near = get_close_matches(key, self._values, n=3)
        hint = f"the nearest keys that it has: {', '.join(near)}" if near else "is this the right kind of GGUF file?"
        raise GGUFError(f"{self._source}: the key {key} is missing", hint=hint)

    def _error(self, message: builtins.str) -> GGUFError:
        return GGUFError(f"{self._source}: {message}", hint="the file's converter wrote it wrongly; try another file")


_KINDS: dict[type[Any], str] = {str: "a string", int: "an integer", float: "a float", bool: "a boolean"}


def _is(value: Value, kind: type[Any]) -> bool:
    # bool is a subclass of int in Python, but another type in the file.
    return type(value) is kind or (kind is float and type(value) is int)


def _describe(value: Value) -> str:
    if isinstance(value, tuple):
        return f"an array of {len(value)}" + (f" whose first value is {_describe(value[0])}" if value else "")
    text = repr(value)
    return f"{_KINDS[type(value)]} ({text if len(text) <= 40 else text[:40] + '…'})"
