"""A typed getter gives the type it promises, or says what it found instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import Metadata

M = Metadata(
    {
        "name": "tiny",
        "count": 4,
        "scale": 0.5,
        "flag": True,
        "words": ("a", "b"),
        "heads": (4, 2),
        "scales": (1.0, 2),
        "flags": (True, False),
        "nothing": (),
        "long": "x" * 1000,
    },
    "model.gguf",
)


@pytest.mark.parametrize(
    ("get", "value"),
    [
        (lambda: M.str("name"), "tiny"),
        (lambda: M.int("count"), 4),
        (lambda: M.float("scale"), 0.5),
        (lambda: M.float("count"), 4.0),  # an integer where a float is expected
        (lambda: M.bool("flag"), True),
        (lambda: M.strs("words"), ["a", "b"]),
        (lambda: M.ints("heads"), [4, 2]),
        (lambda: M.ints("count"), [4]),  # one value is a list of one
        (lambda: M.floats("scales"), [1.0, 2.0]),
        (lambda: M.bools("flags"), [True, False]),
        (lambda: M.ints("nothing"), []),
        (lambda: M.layers("heads", 2), [4, 2]),
        (lambda: M.layers("count", 3), [4, 4, 4]),
        (lambda: M.layers("absent", 2, 7), [7, 7]),
        (lambda: M.int("absent", 3), 3),
        (lambda: M.str("absent", None), None),
        (lambda: M.ints("absent", []), []),
        (lambda: M["count"], 4),
        (lambda: M.get("absent"), None),
        (lambda: len(M), 10),
        (lambda: repr(M), "Metadata(model.gguf, 10 keys)"),
    ],
)
def test_what_is_there(get: Callable[[], object], value: object) -> None:
    found = get()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("get", "message"),
    [
        (lambda: M.int("absent"), "the key absent is missing"),
        (lambda: M.layers("absent", 2), "the key absent is missing"),
        (lambda: M.int("name"), r"name is a string \('tiny'\), expected an integer"),
        (lambda: M.int("scale"), r"scale is a float \(0.5\), expected an integer"),
        (lambda: M.int("flag"), r"flag is a boolean \(True\), expected an integer"),
        (lambda: M.bool("count"), r"count is an integer \(4\), expected a boolean"),
        (lambda: M.float("flag"), "expected a float"),
        (lambda: M.int("heads"), "heads is an array of 2 whose first value is an integer"),
        (lambda: M.int("name", 3), "expected an integer"),  # a default is for what is absent, not for what is wrong
        (lambda: M.ints("words"), "words is an array of 2 whose first value is a string"),
        (lambda: M.str("nothing"), "nothing is an array of 0, expected a string"),
        (lambda: M.int("long"), r"long is a string \('x{39}…\)"),
        (lambda: M.layers("heads", 3), "heads has 2 values, expected one for each of 3 layers"),
    ],
)
def test_what_is_not(get: Callable[[], object], message: str) -> None:
    with pytest.raises(GGUFError, match=message) as caught:
        get()
    assert caught.value.message.startswith("model.gguf: ")
    assert caught.value.hint


def test_a_missing_key_names_its_neighbours() -> None:
    with pytest.raises(GGUFError) as caught:
        M.int("coumt")
    assert "count" in caught.value.hint
