"""The engine's promises about answers: how they end, what is refused, and what events tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from mtmd_cli import (
    ContextFull,
    Engine,
    Finished,
    MtmdError,
    Progress,
    Sampling,
    TextPiece,
    Trace,
    UnsupportedModel,
    UsageError,
)
from tests.tiny.outline import BYTES, HERE, VOCABULARY, write_tiny
from tests.unit.pipeline.conftest import Load

EOS = BYTES + 1
PICTURE = Image.linear_gradient("L").resize((90, 60))


def always(*tokens: int) -> Sampling:
    """Say the likeliest of these tokens, whatever else the model thinks. The token of a byte is the byte."""
    return Sampling(temperature=0, logit_bias=dict.fromkeys(tokens, 1e6))


SAY_A = always(ord("a"))
END_OR_B = Sampling(temperature=0, logit_bias={EOS: 2e6, ord("b"): 1e6})


def finish(engine: Engine, prompt: str = "Hi", **settings: Any) -> Finished:
    *_, last = engine.stream(prompt, **{"chat": False, "sampling": SAY_A, **settings})
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize(
    ("settings", "reason", "text"),
    [
        ({"max_tokens": 3}, "length", "aaa"),
        ({"max_tokens": 1}, "length", "a"),
        ({"max_tokens": 0}, "length", ""),
        ({"max_tokens": -1}, "context", "a" * 14),  # the prompt takes 3 of 16, and the last token needs no place
        ({"max_tokens": 99}, "context", "a" * 14),
        ({"max_tokens": 3, "sampling": always(EOS)}, "stop", ""),
        ({"max_tokens": 3, "sampling": END_OR_B, "ignore_eos": True}, "length", "bbb"),
    ],
)
def test_how_an_answer_ends(settings: dict[str, Any], reason: str, text: str, load: Load) -> None:
    finished = finish(load(context=16), **settings)
    assert (finished.reason, finished.text) == (reason, text)


def test_the_token_that_ends_is_told_but_not_shown(load: Load) -> None:
    finished = finish(load(), sampling=always(EOS))
    assert finished.tokens == (EOS,) and finished.text == ""


def test_a_stop_text_of_the_template_ends_an_answer(load: Load) -> None:
    engine = load(chat_template="{{ messages[0].content }}")
    template = engine.template()
    template.stops = ("aaa",)
    engine.template = lambda: template  # type: ignore[method-assign]
    finished = finish(engine, chat=True, max_tokens=9)
    assert (finished.reason, finished.text, len(finished.tokens)) == ("stop", "", 3)


@pytest.mark.parametrize(
    ("prompt", "settings", "error", "words"),
    [
        ("x" * 15, {}, ContextFull, "16 tokens and the context 16"),
        ("Hi", {"images": [PICTURE]}, ContextFull, "the context 16"),
        ("<__media__> and <__media__>", {"images": [PICTURE]}, UsageError, "2 markers <__media__>"),
        ("<__media__>", {}, UsageError, "1 marker <__media__>"),
        ("Hi", {"system": "Be brief."}, UsageError, "no place for a system message"),
        ("Hi", {"chat": True}, UnsupportedModel, "template"),
        ("Hi", {"sampling": Sampling(logit_bias={VOCABULARY: 1.0})}, UsageError, str(VOCABULARY)),
        ("Hi", {"images": ["nowhere.png"]}, MtmdError, "nowhere.png"),
        ("Hi", {"images": "cat.jpg"}, UsageError, "images is one image, expected a list"),
    ],
)
def test_what_is_refused(prompt: str, settings: dict[str, Any], error: type[MtmdError], words: str, load: Load) -> None:
    with pytest.raises(error, match=words) as refused:
        list(load(context=16).stream(prompt, **{"chat": False, **settings}))
    assert refused.value.hint


def test_an_empty_prompt_is_refused(load: Load) -> None:
    engine = load()
    engine.tokenizer.add_bos = False
    with pytest.raises(UsageError, match="empty"):
        finish(engine, "")


def test_images_need_a_projector(load: Load) -> None:
    with pytest.raises(UsageError, match="no vision projector"):
        load(mmproj=None).stream("Hi", [PICTURE])


def test_what_the_caller_did_wrong_is_told_before_the_first_event(load: Load) -> None:
    with pytest.raises(UsageError, match="marker"):
        load().stream("<__media__>", chat=False)


def test_pieces_join_to_the_text_and_never_hold_half_a_character(load: Load) -> None:
    engine = load()
    say(engine, *"é!".encode())
    events = list(engine.stream("Hi", chat=False, max_tokens=3))
    pieces = [event for event in events if isinstance(event, TextPiece)]
    assert [piece.text for piece in pieces] == ["é", "!"]
    assert [piece.token for piece in pieces] == [0xA9, ord("!")]
    assert isinstance(events[-1], Finished) and events[-1].text == "é!"


THINKER = """{{ messages[0].content }}{% if enable_thinking %}<{% else %}</{% endif %}think>
{%- if false %}</think>{% endif %}"""


@pytest.mark.parametrize(
    ("values", "text", "reasoning"),
    [
        (None, "b", "a"),
        ({"enable_thinking": True}, "b", "a"),
        ({"enable_thinking": False}, "a</think>b", ""),
    ],
)
def test_thoughts_are_told_apart(values: dict[str, bool] | None, text: str, reasoning: str, load: Load) -> None:
    engine = load(chat_template=THINKER)
    say(engine, *b"a</think>b")
    *events, finished = engine.stream("Hi", template_values=values, max_tokens=10)
    assert isinstance(finished, Finished) and (finished.text, finished.reasoning) == (text, reasoning)
    pieces = [event for event in events if isinstance(event, TextPiece)]
    assert "".join(piece.text for piece in pieces if not piece.reasoning) == text
    assert "".join(piece.text for piece in pieces if piece.reasoning) == reasoning


def test_what_never_becomes_a_character_is_shown_at_the_end(load: Load) -> None:
    engine = load()
    say(engine, "é".encode()[0])
    *_, piece, finished = engine.stream("Hi", chat=False, max_tokens=1)
    assert piece == TextPiece("\ufffd", None)
    assert isinstance(finished, Finished) and finished.text == "\ufffd"


def say(engine: Engine, *tokens: int) -> None:
    """Let the engine say these, whatever the model thinks."""
    rest = iter(tokens)
    engine._sampler = lambda *_, **__: SimpleNamespace(sample=lambda logits: next(rest))  # type: ignore[assignment,method-assign]


def test_reading_is_reported_chunk_by_chunk(load: Load) -> None:
    events = list(load().stream("Hi", [PICTURE], chat=False, sampling=SAY_A, max_tokens=1))
    steps = [event for event in events if isinstance(event, Progress)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    total = len(finished.chunks)
    assert total > 1
    assert steps == [Progress("reading", done, total) for done in range(total + 1)]


def test_timings_of_what_was_done(load: Load) -> None:
    with_image, without = (
        finish(load(), images=images, max_tokens=3).timings for images in ([PICTURE], list[Image.Image]())
    )
    assert min(with_image.preprocess_ms, with_image.encode_ms, with_image.prefill_ms) > 0
    assert with_image.prefill_tokens_per_s > 0 and with_image.decode_tokens_per_s > 0
    assert without.encode_ms == 0


def test_the_trace_holds_a_row_of_logits_for_each_token(load: Load) -> None:
    trace = Trace()
    finished = finish(load(), images=[PICTURE], max_tokens=3, trace=trace)
    assert trace.tensors["logits"].shape == (3, VOCABULARY)
    for place, chunk in enumerate(finished.chunks):
        if chunk.type == "image":
            assert trace.tensors[f"embd.{place}"].shape[0] == chunk.n_tokens
            assert trace.tensors[f"pixels.{place}.0.u8"].dtype == torch.uint8


@pytest.mark.parametrize("settings", [{"ubatch": 4}, {"batch": 1}, {"flash_attn": "on"}, {"flash_attn": "auto"}])
def test_how_the_prompt_is_read_changes_no_logit(settings: dict[str, Any], load: Load) -> None:
    expected, other = Trace(), Trace()
    prompt = "A rather long prompt, of many tokens."
    finish(load(flash_attn="off", cache_type_k="f32", cache_type_v="f32"), prompt, max_tokens=2, trace=expected)
    finish(load(**settings, cache_type_k="f32", cache_type_v="f32"), prompt, max_tokens=2, trace=other)
    assert torch.allclose(other.tensors["logits"], expected.tensors["logits"], rtol=1e-4, atol=1e-5)


def test_answers_do_not_know_each_other(load: Load) -> None:
    engine, first, second = load(), Trace(), Trace()
    finish(engine, max_tokens=2, trace=first)
    finish(engine, "Something else", max_tokens=2)
    finish(engine, max_tokens=2, trace=second)
    assert first.tensors["logits"].equal(second.tensors["logits"])


def test_a_quantised_cache_of_values_needs_flash_attention(load: Load) -> None:
    with pytest.raises(UsageError, match="values needs flash attention"):
        load(cache_type_v="q8_0", flash_attn="off")


def test_a_projector_of_another_model_is_refused(load: Load, tmp_path: Path) -> None:
    other = write_tiny(HERE / "vision" / "qwen3vl.json", tmp_path / "mmproj.gguf")
    with pytest.raises(UnsupportedModel, match="makes tokens of .* values"):
        load(mmproj=other)


def test_exchanged_files_are_told_apart(load: Load, pair: tuple[Path, Path]) -> None:
    with pytest.raises(UnsupportedModel, match="vision projector, expected a language model"):
        load(model=pair[1], mmproj=pair[1])
    with pytest.raises(UnsupportedModel, match="expected a vision projector"):
        load(mmproj=pair[0])
