"""Flags as users of llama-mtmd-cli write them, and what they become."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import mtmd_cli
from mtmd_cli.cli.options import SECTIONS
from mtmd_cli.cli.values import unescape
from tests.unit.cli.conftest import Run

ASK = ("-m", "m.gguf", "-p", "hello")
EVERY_SAMPLER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--model other.gguf", "model", "other.gguf"),
        ("-mm p.gguf", "mmproj", "p.gguf"),
        ("--mmproj p.gguf", "mmproj", "p.gguf"),
        ("--dtype BF16", "dtype", "bf16"),
        ("--dtype float32", "dtype", "f32"),
        ("-c 512", "context", 512),
        ("--ctx-size=512", "context", 512),
        ("--ctx_size 512", "context", 512),
        ("-b 64", "batch", 64),
        ("-ub 32", "ubatch", 32),
        ("-t 3", "threads", 3),
        ("-t -1", "threads", None),
        ("-t 0", "threads", None),
        ("-fa on", "flash_attn", "on"),
        ("-fa 1", "flash_attn", "on"),
        ("--flash-attn disabled", "flash_attn", "off"),
        ("-fa -1", "flash_attn", "auto"),
        ("--mmproj-flash-attn off", "mmproj_flash_attn", "off"),
        ("-ctk q8_0", "cache_type_k", "q8_0"),
        ("-ctv q4_0", "cache_type_v", "q4_0"),
        ("-dev cuda:1", "device", "cuda:1"),
        ("-dev CUDA1", "device", "cuda:1"),
        ("-dev none", "device", "cpu"),
        ("-mmdev none", "mmproj_device", "cpu"),
        ("--no-mmproj-offload", "mmproj_offload", False),
        ("--mmproj-offload", "mmproj_offload", True),
        ("--image-min-tokens 4", "image_min_tokens", 4),
        ("--image-max-tokens 64", "image_max_tokens", 64),
        ("--image-max-tokens 0", "image_max_tokens", None),
        ("--image-min-tokens -1", "image_min_tokens", None),
        ("--chat-template vicuna", "chat_template", "vicuna"),
        ("--preproc hf", "preproc", "hf"),
        ("--no-jinja", "jinja", False),
        ("--jinja", "jinja", True),
    ],
)
def test_what_load_is_called_with(run: Run, words: str, name: str, value: Any) -> None:
    outcome = run(*ASK, *words.split())
    assert outcome.code == 0, outcome.err
    assert outcome.calls["load"][name] == value


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--temp 0", "temperature", 0.0),
        ("--temperature -1", "temperature", 0.0),
        ("--top-k 3", "top_k", 3),
        ("--top-p 0.5", "top_p", 0.5),
        ("--min-p 0.1", "min_p", 0.1),
        ("-s 7", "seed", 7),
        ("--seed -1", "seed", None),
        ("--seed 4294967295", "seed", None),
        ("--repeat-last-n 0", "repeat_last_n", 0),
        ("--repeat-penalty 1.1", "repeat_penalty", 1.1),
        ("--presence-penalty 0.5", "presence_penalty", 0.5),
        ("--frequency-penalty -0.5", "frequency_penalty", -0.5),
        ("--typical 0.9", "typical_p", 0.9),
        ("--typical-p 0.9", "typical_p", 0.9),
        ("--top-nsigma 2", "top_n_sigma", 2.0),
        ("--top-n-sigma 2", "top_n_sigma", 2.0),
        ("--xtc-probability 0.5", "xtc_probability", 0.5),
        ("--xtc-threshold 0.2", "xtc_threshold", 0.2),
        ("--dynatemp-range 0.3", "dynatemp_range", 0.3),
        ("--dynatemp-exp 2", "dynatemp_exponent", 2.0),
        ("--dry-multiplier 0.8", "dry_multiplier", 0.8),
        ("--dry-base 2", "dry_base", 2.0),
        ("--dry-allowed-length 3", "dry_allowed_length", 3),
        ("--dry-penalty-last-n 9", "dry_penalty_last_n", 9),
        (r"--dry-sequence-breaker \n --dry-sequence-breaker ;", "dry_sequence_breakers", ("\n", ";")),
        ("--dry-sequence-breaker a --dry-sequence-breaker none", "dry_sequence_breakers", ()),
        ("--mirostat 2", "mirostat", 2),
        ("--mirostat-lr 0.2", "mirostat_eta", 0.2),
        ("--mirostat-ent 4", "mirostat_tau", 4.0),
        ("-l 15043+1 --logit-bias 5-inf", "logit_bias", {15043: 1.0, 5: float("-inf")}),
        ("--samplers top_k;Top-P;temp", "samplers", ("top_k", "top_p", "temperature")),
        ("--sampler-seq edskypmxt", "samplers", EVERY_SAMPLER),
        ("--sampling-seq kt", "samplers", ("top_k", "temperature")),
    ],
)
def test_what_sampling_is_made_of(run: Run, words: str, name: str, value: Any) -> None:
    outcome = run(*ASK, *words.split())
    assert outcome.code == 0, outcome.err
    assert outcome.calls["stream"]["sampling"][name] == value


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-sys", "Be brief."], "system", "Be brief."),
        (["-n", "5"], "max_tokens", 5),
        (["--n-predict", "-1"], "max_tokens", -1),
        (["-n", "-2"], "max_tokens", -2),
        (["--predict", "5"], "max_tokens", 5),
        (["--ignore-eos"], "ignore_eos", True),
        (["--no-chat-template"], "chat", False),
        (["--alpha", "white"], "alpha", "white"),
        ([], "template_values", {}),
        (["--reasoning", "auto"], "template_values", {}),
        (["--reasoning", "on"], "template_values", {"enable_thinking": True}),
        (["-rea", "off"], "template_values", {"enable_thinking": False}),
        (["--chat-template-kwargs", '{"effort": "low"}'], "template_values", {"effort": "low"}),
        (
            ["--chat-template-kwargs", '{"enable_thinking": true, "a": [1]}', "-rea", "off"],
            "template_values",
            {"enable_thinking": False, "a": [1]},
        ),
        (["-mm", "p.gguf", "--image", "a.png"], "images", ("a.png",)),
        (["-mm", "p.gguf", "--image", "a.png,b.png", "--image", "c.png"], "images", ("a.png", "b.png", "c.png")),
        (["-mm", "p.gguf", "--image", '"one, two.png",b.png'], "images", ("one, two.png", "b.png")),
        (["-p", r"a\nb"], "prompt", "a\nb"),
        (["-p", r"a\nb", "--no-escape"], "prompt", r"a\nb"),
        (["-p", r"a\nb", "-e"], "prompt", "a\nb"),
        (["-p", "-fa"], "prompt", "-fa"),
        (["-p=--temp"], "prompt", "--temp"),
    ],
)
def test_what_is_asked(run: Run, words: list[str], name: str, value: Any) -> None:
    outcome = run(*ASK, *words)
    assert outcome.code == 0, outcome.err
    assert outcome.calls["stream"][name] == value


@pytest.mark.parametrize(
    ("variable", "text", "call", "name", "value"),
    [
        ("LLAMA_ARG_CTX_SIZE", "99", "load", "context", 99),
        ("LLAMA_ARG_FLASH_ATTN", "off", "load", "flash_attn", "off"),
        ("LLAMA_ARG_MMPROJ_OFFLOAD", "disabled", "load", "mmproj_offload", False),
        ("LLAMA_ARG_NO_MMPROJ_OFFLOAD", "", "load", "mmproj_offload", False),
        ("LLAMA_ARG_JINJA", "0", "load", "jinja", False),
        ("LLAMA_ARG_JINJA", "enabled", "load", "jinja", True),
        ("MTMD_BACKEND_DEVICE", "CUDA0", "load", "mmproj_device", "cuda:0"),
        ("LLAMA_ARG_MMPROJ", "p.gguf", "load", "mmproj", "p.gguf"),
        ("LLAMA_ARG_N_PREDICT", "3", "stream", "max_tokens", 3),
    ],
)
def test_environment(run: Run, variable: str, text: str, call: str, name: str, value: Any) -> None:
    outcome = run(*ASK, env={variable: text})
    assert outcome.code == 0, outcome.err
    assert outcome.calls[call][name] == value


def test_the_command_line_beats_the_environment(run: Run, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ x }}\n")
    env = {"LLAMA_ARG_CTX_SIZE": "99", "LLAMA_ARG_NO_JINJA": "1", "LLAMA_ARG_CHAT_TEMPLATE": "gemma"}
    load = run(*ASK, "-c", "7", "--jinja", "--chat-template-file", str(template), env=env).calls["load"]
    assert (load["context"], load["jinja"], load["chat_template"]) == (7, True, "{{ x }}")


def test_the_model_may_come_from_the_environment(run: Run) -> None:
    assert run("-p", "hello", env={"LLAMA_ARG_MODEL": "e.gguf"}).calls["load"]["model"] == "e.gguf"


@pytest.mark.parametrize(("content", "prompt"), [("hello\n", "hello"), ("two\n\n", "two\n"), (r"a\tb", "a\tb")])
def test_the_prompt_may_come_from_a_file(run: Run, tmp_path: Path, content: str, prompt: str) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text(content)
    assert run("-m", "m.gguf", "-f", str(path)).calls["stream"]["prompt"] == prompt
    assert run("-m", "m.gguf", "-f", "-", stdin=content).calls["stream"]["prompt"] == prompt


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["-ngl", "99"], "-ngl"),
        (["--n-gpu-layers=99"], "--n-gpu-layers"),
        (["--no-mmap"], "--no-mmap"),
        (["--no_mmap"], "--no-mmap"),
        (["-tb", "4"], "-tb"),
        (["-Cb", "ff"], "-Cb"),
        (["-ncmoe", "4"], "-ncmoe"),
        (["-nr"], "-nr"),
        (["--mmproj-auto"], "--mmproj-auto"),
    ],
)
def test_flags_that_do_not_change_the_answer_are_left_out(run: Run, words: list[str], left_out: str) -> None:
    outcome = run(*words, *ASK)
    assert outcome.code == 0
    assert outcome.out == "A cat.\n"
    assert outcome.err == f"note: {left_out} means nothing here and is left out\n"


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (r"a\nb\rc\td", "a\nb\rc\td"),
        (r"\'\"\\", "'\"\\"),
        (r"\x41\xc3\xa9", "Aé"),
        (r"\xzz \q \\n", r"\xzz \q \n"),
        ("end\\", "end\\"),
        (r"\xff", "\ufffd"),
    ],
)
def test_escapes(typed: str, text: str) -> None:
    assert unescape(typed) == text


def test_without_flags_loading_is_as_in_python(run: Run) -> None:
    parameters = inspect.signature(mtmd_cli.load).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    assert run(*ASK).calls["load"] == {**defaults, "model": "m.gguf"}


def test_without_flags_sampling_is_as_in_python(run: Run) -> None:
    assert mtmd_cli.Sampling(**run(*ASK).calls["stream"]["sampling"]) == mtmd_cli.Sampling()


def test_no_name_is_used_twice() -> None:
    options = [option for section in SECTIONS.values() for option in section]
    spelled = [name for option in options for name in (*option.opts, *option.secondary_opts)]
    assert len(spelled) == len(set(spelled))
    assert len(options) == len({option.name for option in options})
