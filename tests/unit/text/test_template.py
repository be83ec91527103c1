"""What a chat template may say, and what the caller hears of it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from mtmd_cli.errors import UnsupportedModel, UsageError
from mtmd_cli.text.template import ChatTemplate, Message, named_template

USER: Message = {"role": "user", "content": "<__media__>What is it?"}
SYSTEM: Message = {"role": "system", "content": "Be brief."}
PLAIN = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
PARTS = "{% for m in messages %}{% for p in m.content if p.type == 'text' %}<{{ p.text }}>{% endfor %}{% endfor %}"


def render(source: str, *messages: Message, **kwargs: Any) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(messages or [USER], **kwargs)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}a{{ eos_token }}", "<s>a</s>"),
        ("{{ {'ä': '<b>', 'z': [1]} | tojson }}", '{"ä": "<b>", "z": [1]}'),
        ("{{ [1, 2] | tojson(indent=2) }}", json.dumps([1, 2], indent=2)),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}", '{"a":2,"b":1}'),
        (
            "{% for i in 'abc' %}{% if i == 'a' %}{% continue %}{% endif %}{{ i }}{% break %}{% endfor %}",
            "b",
        ),
        ("{% set ns = namespace(n=1) %}{% for i in range(3) %}{% set ns.n = ns.n * 2 %}{% endfor %}{{ ns.n }}", "8"),
        ("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc"),
        ("{% generation %}the answer{% endgeneration %}", "the answer"),
        ("{{ strftime_now('%Y') }}", str(date.today().year)),
        ("{{ date_string == strftime_now('%d %b %Y') }}", "True"),
        ("{{ 'a' ~ 1 ~ none }}", "a1None"),
        ("{{ '<{}>'.format('x') }}{{ '%s' | format(1) }}", "<x>1"),
        ("{{ 'x|y'.split('|')[-1].strip() }}", "y"),
        ("{% macro twice(t) %}{{ t }}{{ t }}{% endmacro %}{{ twice('ab') }}", "abab"),
        ("{{ messages | map(attribute='role') | list | first }}{{ messages[::-1] | length }}", "user1"),
        ("{{ messages | map(attribute='role') }}", "['user']"),  # nothing is lazy
        ("{{ enable_thinking }}{{ add_generation_prompt }}", "TrueTrue"),
    ],
)
def test_speaks_the_language_of_chat_templates(source: str, text: str) -> None:
    assert render(source) == text


def test_passes_settings_through() -> None:
    source = "{{ add_generation_prompt }} {{ enable_thinking }} {{ reasoning_effort }}"
    assert (
        render(source, add_generation_prompt=False, enable_thinking=False, reasoning_effort="low") == "False False low"
    )


def test_no_value_takes_the_place_of_the_conversation() -> None:
    assert render("{{ messages[0].content }}", messages=[], self=1) == render("{{ messages[0].content }}")


def test_refusal_is_told_in_the_templates_own_words() -> None:
    with pytest.raises(UsageError, match="refuses this conversation: Roles must alternate") as caught:
        render("{{ raise_exception('Roles must alternate') }}")
    assert "--chat-template" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{% if %}", "cannot be read: line 2"),
        ("{{ x | no_such_filter }}", "cannot be read"),
        ("{{ messages[0].no.such }}", "fails: 'dict object' has no attribute 'no'"),
        ("{{ 1 / 0 }}", "fails: ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}", "fails: access to attribute '__class__'"),
        ("{% set ns = namespace(_a=1) %}", "fails: a namespace may not hold '_a'"),
        ("{% set l = [] %}{{ l.append(1) }}", "fails: access to attribute 'append'"),
        ("{% include 'x' %}", "fails: TypeError: no loader"),
    ],
)
def test_fault_of_the_file_is_an_unsupported_model(source: str, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message) as caught:
        render(source)
    assert "--no-chat-template" in caught.value.hint


def test_renders_leave_the_messages_alone() -> None:
    messages = [SYSTEM, USER]
    render("{{ messages[0].content }}", *messages)
    assert messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": USER["content"]}]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (PLAIN, "[user:<__media__>What is it?]"),
        (PARTS, "<<__media__>What is it?>"),
        ("{{ ': ' if messages[0].content[0].type != 'image' }}" + PARTS, ": <<__media__>What is it?>"),
        ("{% if messages[0].content is string %}s{% else %}p{% endif %}" + PLAIN, "s[user:<__media__>What is it?]"),
    ],
)
def test_content_is_a_list_of_parts_only_for_templates_that_need_it(source: str, text: str) -> None:
    assert render(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (PLAIN, "[system:Be brief.][user:<__media__>What is it?]"),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN,
         "[user:Be brief.\n<__media__>What is it?]"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "Be brief.\n<__media__>What is it?"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content[0].text }}{% endfor %}",
         "Be brief.\n<__media__>What is it?"),
    ],
)  # fmt: skip
def test_system_message_joins_the_user_where_a_template_knows_none(source: str, text: str) -> None:
    assert render(source, SYSTEM, USER) == text


@pytest.mark.parametrize(
    ("add_bos", "add_eos", "text"),
    [(False, False, "<s>a</s>"), (True, False, "a</s>"), (False, True, "<s>a"), (True, True, "a")],
)
def test_leaves_out_what_the_tokenizer_adds(add_bos: bool, add_eos: bool, text: str) -> None:
    template = ChatTemplate("{{ bos_token }}a{{ eos_token }}", bos="<s>", eos="</s>", add_bos=add_bos, add_eos=add_eos)
    assert template.render([USER]) == text


CHATML = {"tokenizer.chat_template": "{{ '<|im_start|>' }}" + PLAIN}
TEKKEN = {"general.architecture": "llama", "llama.block_count": 40, "tokenizer.ggml.pre": "tekken"}


@pytest.mark.parametrize(
    ("metadata", "override", "jinja", "text"),
    [
        (CHATML, None, True, "<|im_start|>[user:hi]"),
        (CHATML, None, False, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
        (CHATML, "vicuna", True, "USER: hi\nASSISTANT:"),
        (CHATML, "vicuna", False, "USER: hi\nASSISTANT:"),
        (CHATML, "{{ messages[0].content }}!", True, "hi!"),
        (CHATML, "{# [INST] #}", False, "[INST] hi [/INST]"),
        ({}, "gemma", True, "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"),
        (TEKKEN, None, True, "[INST]hi[/INST]"),
    ],
)
def test_source_comes_from_the_file_or_the_user(
    metadata: dict[str, object], override: str | None, jinja: bool, text: str
) -> None:
    rendered = ChatTemplate.from_metadata(metadata, override, jinja).render([{"role": "user", "content": "hi"}])
    assert rendered == text


@pytest.mark.parametrize(
    ("metadata", "override", "jinja", "error", "hint"),
    [
        ({}, None, True, UnsupportedModel, "vicuna"),
        ({"tokenizer.chat_template": PLAIN}, None, False, UnsupportedModel, "--no-jinja"),
        ({}, "vicunna", True, UsageError, "vicuna"),
        ({}, "?", True, UsageError, "known names: bailing"),
        ({}, "{% if %}", True, UsageError, "correct the source"),
    ],
)
def test_missing_and_mistaken_templates_show_a_way_out(
    metadata: dict[str, object], override: str | None, jinja: bool, error: type[Exception], hint: str
) -> None:
    with pytest.raises(error) as caught:
        ChatTemplate.from_metadata(metadata, override, jinja)
    assert hint in caught.value.hint  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "stops"), [("vicuna", ("ASSISTANT:",)), ("deepseek", ("###",)), ("chatml", ())])
def test_formats_without_an_end_token_stop_at_the_next_turn(name: str, stops: tuple[str, ...]) -> None:
    assert named_template(name).stops == stops


def test_resemblance_alone_brings_no_stops() -> None:
    source = {"tokenizer.chat_template": "{# USER: ASSISTANT: #}"}
    assert ChatTemplate.from_metadata(source, jinja=False).stops == ()
