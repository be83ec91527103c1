"""Run a chat template that came with a file: nothing but text in, text out, within bounds.

A template is a program by a stranger. Jinja's immutable sandbox keeps it from touching anything; here it is also kept
from running for ever and from filling the memory. Every loop turn looks at the clock, and every value that the program
makes is paid for by its size, before it is made where a short expression can make a long one. The rest of the language
is what transformers offers (transformers/utils/chat_template_utils.py, 5.23).
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import CodeType
from typing import Any, Final, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

SECONDS: Final = 2.0
CHARACTERS: Final = 16 << 20  # all values of one rendering together, besides what the user's own text asks for
SOURCE_CHARACTERS: Final = 128 << 10  # the longest templates in use have 20 thousand
COUNT: Final = 100_000  # the largest width, repetition or index that a template may name
INT_BITS: Final = 4096
ELEMENT: Final = 64  # what one element of a list weighs, in characters

METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset(
        {"capitalize", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isdigit", "islower"}
        | {"isnumeric", "isspace", "isupper", "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix"}
        | {"replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith"}
        | {"strip", "swapcase", "title", "upper"}
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    float: frozenset({"is_integer"}),
    int: frozenset(),
    bytes: frozenset(),
}
# Their cost cannot be bounded here, and no chat template needs them.
BARRED_FILTERS: Final = frozenset({"pprint", "striptags", "urlize", "wordwrap", "xmlattr"})


class TemplateRefusal(TemplateError):
    """The template itself said no: `raise_exception`."""


class TemplateTooCostly(TemplateError):
    """The template runs longer or builds more than a chat template has reason to."""


class Meter:
    """What one rendering may still spend."""

    def __init__(self, characters: int = CHARACTERS) -> None:
        self.left = characters
        self.deadline = time.monotonic() + SECONDS

    def tick(self) -> bool:
        if time.monotonic() > self.deadline:
            raise TemplateTooCostly("it takes too long")
        return True

    def spend(self, characters: int) -> None:
        self.tick()
        self.left -= characters
        if self.left < 0:
            raise TemplateTooCostly("it builds too much text")

    def weigh(self, value: object) -> int:
        """The size of `value` written out, counted no further than what is left: shared parts count each time."""
        total, stack = 0, [value]
        while stack and total <= self.left:
            item = stack.pop()
            if isinstance(item, str):
                total += len(item)
            elif isinstance(item, int):
                if item.bit_length() > INT_BITS:
                    raise TemplateTooCostly("it builds too large a number")
            elif isinstance(item, Mapping):
                total += ELEMENT * len(item)
                stack += [*item.keys(), *item.values()]
            elif isinstance(item, Collection):
                total += ELEMENT * len(item)
                stack += item
        return total


def _format_cost(pattern: str, weight: int, sign: str) -> int:
    # A width such as {:>999999999} or %*d makes text out of nothing.
    if re.search(r"%\W*[\d*]" if sign == "%" else r"\{[^{}]*:[^{}]*[\d{]", pattern):
        raise SecurityError("text may not be formatted to a width")
    return pattern.count(sign) * weight


def _strip_cost(text: str, characters: str | None = None) -> int:
    return len(text) * len(characters or "") // 64


def _replace_cost(text: str, old: str, new: str, *_: object) -> int:
    return text.count(old) * len(new)


def _indent_cost(text: str, width: int | str = 4, *_: object, **__: object) -> int:
    return (text.count("\n") + 1) * (width if isinstance(width, int) else len(width))


def _int_cost(text: object, *_: object, **__: object) -> int:
    return len(text) ** 2 // 1024 if isinstance(text, str) else 0


# What a method or filter may cost beyond the size of its result or before that is known.
METHOD_COSTS: Final[Mapping[str, Callable[..., int]]] = {
    "join": lambda text, items: len(text) * len(items),
    "lstrip": _strip_cost,
    "replace": _replace_cost,
    "rstrip": _strip_cost,
    "strip": _strip_cost,
}
FILTER_COSTS: Final[Mapping[str, Callable[..., int]]] = {
    "indent": _indent_cost,
    "int": _int_cost,
    "join": lambda items, d="", *_, **__: len(d) * len(items),
    "replace": _replace_cost,
    "trim": _strip_cost,
}


class SealedNamespace(Namespace):
    """`namespace()`, without names that begin with an underscore, and silent about what it holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        attributes = dict(*args, **kwargs)
        for name in attributes:
            self._check(name)
        super().__init__(attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        SealedNamespace._check(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<namespace>"

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name) if name == "_check" else super().__getattribute__(name)

    @staticmethod
    def _check(name: object) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace may not hold {name!r}")


class GenerationTag(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is all there is."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Instrument(NodeTransformer):
    """Put the meter where Jinja has no hook for it: into loops and macros, and around new values."""

    @staticmethod
    def _call(name: str, *args: nodes.Expr) -> nodes.Call:
        return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)

    def _looped(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(self._call("tick")))
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.test is not None:
            node.test = nodes.And(self._call("tick"), node.test)
        return self._looped(node)

    visit_Macro = visit_CallBlock = _looped

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return self._call("join_text", *node.nodes)

    def _valued(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return self._call("metered", node)

    visit_List = visit_Dict = _valued

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._valued(node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        return self._valued(node) if isinstance(node.arg, nodes.Slice) else self.generic_visit(node)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates know it, for one rendering on one meter."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, meter: Meter) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[GenerationTag, LoopControlExtension]
        )
        self.meter = meter
        self.tick = meter.tick
        self.globals.pop("lipsum")
        self.globals |= {"namespace": SealedNamespace, "raise_exception": _refuse, "strftime_now": _strftime_now}
        self.filters = {
            name: self._metered_filter(name, function)
            for name, function in (self.filters | {"tojson": self._tojson}).items()
            if name not in BARRED_FILTERS
        }
        self.tests = {name: self._ticking(function) for name, function in self.tests.items()}

    def metered(self, value: Any) -> Any:
        """Pay for a new value and hand it on."""
        self.meter.spend(self.meter.weigh(value))
        return value

    def join_text(self, *values: Any) -> str:
        return self.concat(map(str, values))

    def concat(self, pieces: Iterable[str]) -> str:
        """Jinja builds every text here: the output, a macro's result, the body of `set`."""
        texts = []
        for piece in pieces:
            self.meter.spend(len(piece))
            texts.append(piece)
        return "".join(texts)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        receiver, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        for kind, methods in METHODS.items():
            if isinstance(receiver, kind) and name not in methods:
                raise SecurityError(f"chat templates may not call {kind.__name__}.{name}()")
        named = {key: value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars")}  # Jinja's own
        __self._check_counts([*args, *named.values()])
        if isinstance(receiver, str):
            if name == "format":
                weight = __self.meter.weigh([*args, *named.values()])
                __self.meter.spend(_format_cost(receiver, weight, "{"))
            elif name in METHOD_COSTS:
                __self.meter.spend(METHOD_COSTS[name](receiver, *args, **named))
        return __self.metered(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, Sequence) and isinstance(times, int):
                    self.meter.spend(self.meter.weigh(value) * max(times, 0))
        elif operator == "**":
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > INT_BITS:
                raise TemplateTooCostly("it builds too large a number")
        elif operator == "%" and isinstance(left, str):
            self.meter.spend(_format_cost(left, self.meter.weigh(right), "%"))
        return self.metered(super().call_binop(context, operator, left, right))

    def _metered_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        value_at = 1 if hasattr(function, "jinja_pass_arg") else 0  # Jinja hands its own object first to some

        @functools.wraps(function)
        def metered_filter(*args: Any, **kwargs: Any) -> Any:
            value, arguments = args[value_at], args[value_at + 1 :]
            self._check_counts([*arguments, *kwargs.values()])
            if name == "format":
                self.meter.spend(_format_cost(value, self.meter.weigh([*arguments, *kwargs.values()]), "%"))
            elif name in FILTER_COSTS:
                self.meter.spend(FILTER_COSTS[name](value, *arguments, **kwargs))
            result = function(*args, **kwargs)
            # A lazy result would be made later, unseen, perhaps by a single call in C.
            return self.metered(list(result) if isinstance(result, Iterator) else result)

        return metered_filter

    def _ticking(self, function: Any) -> Callable[..., Any]:
        @functools.wraps(function)
        def ticking(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            return function(*args, **kwargs)

        return ticking

    @staticmethod
    def _check_counts(arguments: Iterable[object]) -> None:
        if any(isinstance(argument, int) and abs(argument) > COUNT for argument in arguments):
            raise SecurityError(f"chat templates may not count beyond {COUNT}")

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # Jinja's own filter escapes HTML. Indents and separators multiply, so they are paid for piece by piece.
        self.meter.spend(self.meter.weigh([indent, separators]))
        encoder = json.JSONEncoder(
            ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, allow_nan=True
        )
        return self.concat(encoder.iterencode(value))


def _refuse(message: str) -> NoReturn:
    raise TemplateRefusal(message)


def _strftime_now(pattern: str) -> str:
    if re.search(r"%\W*\d", pattern):
        raise SecurityError("a date may not be formatted to a width")
    return datetime.now().strftime(pattern)


def compile_template(source: str) -> CodeType:
    """The program of a template, to run many times. Raises TemplateError with the line of the mistake."""
    if len(source) > SOURCE_CHARACTERS:
        raise TemplateTooCostly(f"it has {len(source)} characters, more than {SOURCE_CHARACTERS}")
    environment = BoundedEnvironment(Meter())
    try:
        program = _Instrument().visit(environment.parse(source))
        return environment.compile(program)
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise TemplateError(f"it is nested too deeply ({type(error).__name__})") from None


def run_template(code: CodeType, meter: Meter, values: Mapping[str, Any]) -> str:
    """Render on a fresh environment, so that renderings share nothing. Raises TemplateError."""
    environment = BoundedEnvironment(meter)
    template = Template.from_code(environment, code, environment.make_globals(None))
    try:
        return environment.concat(template.root_render_func(template.new_context(dict(values))))
    except TemplateError:
        raise
    except RecursionError:
        raise TemplateTooCostly("it calls itself without end") from None
    except Exception as error:  # whatever a stranger's program does wrong
        raise TemplateError(f"{type(error).__name__}: {error}") from None
