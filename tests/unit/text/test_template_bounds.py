"""A template by a stranger ends soon and small, whatever it tries."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Mapping
from types import CodeType
from typing import Any

import pytest

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.text.sandbox import Meter, run_template
from mtmd_cli.text.template import ChatTemplate, Message

USER: list[Message] = [{"role": "user", "content": "hello"}]


def grow(start: str, step: str, end: str = "{{ ns.v }}") -> str:
    """Sixty steps, each of which may double `ns.v`."""
    return f"{{% set ns = namespace(v={start}) %}}{{% for i in range(60) %}}{step}{{% endfor %}}{end}"


HOSTILE = {
    # loops
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a loop's condition": "{% set l = range(60000) | list %}{% for a in l if a in l and 0 %}{% endfor %}",
    "continue": "{% for a in range(99999) %}{% for b in range(99999) %}{% continue %}{% endfor %}{% endfor %}",
    "range": "{{ range(10 ** 9) | list }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a tree of macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "a recursive loop": "{% for x in 'abcd' recursive %}{{ loop('abcd') }}{% endfor %}",
    "a block in itself": "{% block x %}{{ self.x() }}{% endblock %}",
    "a test in a filter": "{% set l = range(60000) | list %}{{ l | select('in', l) | list | length }}",
    # texts that double
    "~": grow("'ab'", "{% set ns.v = ns.v ~ ns.v %}"),
    "+": grow("'ab'", "{% set ns.v = ns.v + ns.v %}"),
    "set": grow("'ab'", "{% set x %}{{ ns.v }}{{ ns.v }}{% endset %}{% set ns.v = x %}"),
    "replace": grow("'a'", "{% set ns.v = ns.v.replace('a', 'aa') %}"),
    "output": "{% for i in range(9999) %}{{ 'a' * 99999 }}{% endfor %}",
    "slices": "{% set t = 'a' * 999999 %}" + grow("[]", "{% set ns.v = ns.v + [t[i:]] %}"),
    # lists that share their parts
    "a list of itself twice": grow("[]", "{% set ns.v = [ns.v, ns.v] %}"),
    "a tuple of itself twice": grow("()", "{% set ns.v = (ns.v, ns.v) %}"),
    "a dict of itself twice": grow("{}", "{% set ns.v = {'a': ns.v, 'b': ns.v} %}", "{{ ns.v | tojson }}"),
    "views of itself": grow("{'a': 1}", "{% set ns.v = {'a': [ns.v.items(), ns.v.items()]} %}"),
    "deep comparison": grow("[]", "{% set ns.v = [ns.v, ns.v] %}", "{{ ns.v == [[]] }}"),
    # one expression, much text
    "str * int": "{{ 'a' * 10 ** 9 }}",
    "list * int": "{{ ([1] * 10 ** 8) | length }}",
    "center": "{{ 'a' | center(10 ** 9) }}",
    "ljust": "{{ 'a'.ljust(10 ** 9) }}",
    "format": "{{ '{:>999999999}'.format('a') }}",
    "format by name": "{{ '{:>{w}}'.format('a', w='999999999') }}",
    "%": "{{ '%999999999d' % 1 }}",
    "% *": "{{ '%*d' % (999999999, 1) }}",
    "| format": "{{ '%999999999d' | format(1) }}",
    "| replace": "{{ ('a' * 99999) | replace('a', 'b' * 99999) }}",
    "| join": "{{ range(9999) | join('a' * 99999) }}",
    "join": "{{ ('a' * 99999).join('b' * 99999) }}",
    "| indent": "{{ ('\n' * 99999) | indent(99999) }}",
    "| tojson": "{{ ([1] * 9999) | tojson(indent=99999) }}",
    "| sum": "{{ ([[1] * 999] * 9999) | sum(start=[]) | length }}",
    "| batch": "{{ [1] | batch(99999, 'a' * 999) | list }}",
    "strftime": "{{ strftime_now('%999999999d') }}",
    # one expression, much work
    "**": "{{ 9 ** 99999999 }}",
    "squares": grow("3", "{% set ns.v = ns.v * ns.v %}"),
    "| round": "{{ 1.5 | round(10 ** 9) }}",
    "| int": "{{ ('9' * 9999999) | int }}",
    "strip": "{{ ('a' * 3999999).strip('b' * 1999999 ~ 'a') }}",
    # sources
    "long": "{{ a }}" * 50_000,
    "parentheses": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "operators": "{{ 1" + "+1" * 50_000 + " }}",
    "blocks": "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
}  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_template_ends_with_an_error(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtmd_cli.text.sandbox.SECONDS", 0.3)
    # Of the processor: what else runs on a machine proves nothing about a template.
    begin, threads = time.process_time(), threading.active_count()
    with pytest.raises(UnsupportedModel):
        ChatTemplate(source).render(USER)
    assert time.process_time() - begin < 3  # 0.3 s and what compiling or one step more may take
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", ["~", "a list of itself twice", "| join", "slices", "str * int", "list * int"])
def test_hostile_template_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(UnsupportedModel):
        ChatTemplate(HOSTILE[name]).render(USER)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20


def test_costly_template_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def run_and_count(code: CodeType, meter: Meter, values: Mapping[str, Any]) -> str:
        runs.append(code)
        return run_template(code, meter, values)

    monkeypatch.setattr("mtmd_cli.text.template.run_template", run_and_count)
    with pytest.raises(UnsupportedModel, match="it builds too much text"):
        ChatTemplate(HOSTILE["~"]).render(USER)
    assert len(runs) == 1


def test_long_prompt_is_no_attack() -> None:
    words = "word " * 2_000_000
    template = ChatTemplate("{% for m in messages %}{{ '<' + m.content | trim + '>' }}{% endfor %}")
    assert template.render([{"role": "user", "content": words}]) == f"<{words.strip()}>"
