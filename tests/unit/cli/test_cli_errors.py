"""Failures: one `error:` line, one `hint:` line, nothing on stdout, and the exit code of their kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtmd_cli.errors import ContextFull, GGUFError, ImageError, MtmdError, OutOfMemory, UnsupportedModel, UsageError
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import FakeApi

ASK = ("-m", "m.gguf", "-p", "hello")


def both_lines(err: str) -> tuple[str, str]:
    first, second = err.splitlines()
    assert first.startswith("error: ") and second.startswith("hint: ")
    return first.removeprefix("error: "), second.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ([], "there is no question", "-p"),
        (["-mm", "p.gguf", "-p", "x"], "the projector has no language model", "-m"),
        (["-m", "m.gguf"], "there is no question", "-p"),
        (["-m", "m.gguf", "-p", " "], "the question is empty", "-p"),
        ([*ASK, "--image-min-tokens", "9", "--image-max-tokens", "8"], "9", "--image-max-tokens"),
        ([*ASK, "-t", "513"], "-t/--threads: 513 is not in the range x<=512", "--threads"),
        ([*ASK, "-ctk", "iq4_nl"], "-ctk/--cache-type-k: 'iq4_nl' is not one of", "--cache-type-k"),
        ([*ASK, "--image", "a.png"], "--image needs a vision projector", "--mmproj"),
        ([*ASK, "--image", "a.png,", "-mm", "p"], "--image: 'a.png,' has an empty file name", "--image"),
        ([*ASK, "-f", "x.txt"], "--prompt and --file exclude each other", "leave one of them out"),
        ([*ASK, "--no-chat-template", "-sys", "x"], "--no-chat-template sends the question as it is", "leave out"),
        ([*ASK, "--no-chat-template", "-rea", "off"], "--no-chat-template sends the question as it is", "leave out"),
        ([*ASK, "--chat-template", "a", "--chat-template-file", "b"], "exclude each other", "--chat-template-file"),
        ([*ASK, "--samplers", "top_k", "--sampler-seq", "k"], "exclude each other", "--samplers"),
        ([*ASK, "--samplers", "top_k;banana"], "there is no sampler 'banana'", "--samplers"),
        ([*ASK, "--sampler-seq", "kz"], "there is no sampler 'z'", "--sampler-seq"),
        ([*ASK, "--temp", "nan"], "--temp/--temperature: 'nan' is not a finite number", "--temp"),
        ([*ASK, "--temp", "warm"], "--temp/--temperature: 'warm' is not a valid float", "--temp"),
        ([*ASK, "--repeat-penalty", "0"], "--repeat-penalty: 0.0 is not in the range x>0", "--repeat-penalty"),
        ([*ASK, "-c", "-1"], "-c/--ctx-size: -1 is not in the range x>=0", "--ctx-size"),
        ([*ASK, "-fa", "maybe"], "-fa/--flash-attn: 'maybe' is not one of on, off, auto", "--flash-attn"),
        ([*ASK, "-ctk", "q3_k"], "-ctk/--cache-type-k: 'q3_k' is not one of", "--cache-type-k"),
        ([*ASK, "--chat-template-kwargs", "{"], "--chat-template-kwargs: '{' is no JSON", "--chat-template-kwargs"),
        ([*ASK, "--chat-template-kwargs", "[1]"], "'[1]' is no JSON object", "--chat-template-kwargs"),
        ([*ASK, "-dev", "gpu"], "-dev/--device: 'gpu' is not a device", "--device"),
        ([*ASK, "-dev", "cuda:0,cuda:1"], "names several devices", "--device"),
        ([*ASK, "-l", "15043"], "'15043' is not a token and a bias", "--logit-bias"),
        ([*ASK, "--tpo-k", "3"], "there is no option --tpo-k", "did you mean --top-k"),
        ([*ASK, "-xyz"], "there is no option -xyz", "mtmd-cli --help"),
        ([*ASK, "--lora", "a.gguf"], "--lora is a flag of llama-mtmd-cli that mtmd-cli does not have yet", "--help"),
        ([*ASK, "--video-fps", "2"], "--video-fps is a flag of llama-mtmd-cli", "--help"),
        ([*ASK, "-hf", "user/repo"], "-hf is a flag of llama-mtmd-cli", "--help"),
        ([*ASK, "--json=1"], "--json", "mtmd-cli --help"),
        ([*ASK, "-n"], "option '-n' requires an argument", "mtmd-cli --help"),
        ([*ASK, "-s", "x"], "-s/--seed: 'x' is not a valid integer", "--seed"),
        ([*ASK, "what", "is", "this"], "got unexpected extra arguments (what is this)", "put quotes around"),
    ],
)
def test_usage_errors(run: Run, words: list[str], error: str, hint: str) -> None:
    outcome = run(*words)
    told, way_out = both_lines(outcome.err)
    assert error in told
    assert hint in way_out
    assert (outcome.code, outcome.out, outcome.calls) == (2, "", {})


def test_an_error_in_the_environment_names_the_variable(run: Run) -> None:
    outcome = run(*ASK, env={"LLAMA_ARG_CTX_SIZE": "big"})
    assert both_lines(outcome.err)[0].startswith("environment variable LLAMA_ARG_CTX_SIZE: 'big'")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("two images, one marker", hint="add a marker"), 2),
        (ContextFull("900 tokens do not fit in 512", hint="-c 1024"), 2),
        (GGUFError("m.gguf: not GGUF", hint="name a GGUF file"), 3),
        (ImageError("cat.jpg: not an image"), 3),
        (UnsupportedModel("projector 'x' is unknown", hint="known: gemma3"), 4),
        (OutOfMemory("no room for 4 GiB", hint="-c 512"), 5),
        (MemoryError(), 5),
        (MtmdError("something else"), 1),
        (RuntimeError("a slip"), 1),
        (OSError(28, "No space left on device"), 3),
        (PermissionError(13, "Permission denied", "m.gguf"), 3),
    ],
)
def test_exit_codes(run: Run, error: Exception, code: int) -> None:
    outcome = run(*ASK, api=FakeApi(loading=error))
    both_lines(outcome.err)
    assert (outcome.code, outcome.out) == (code, "")


def test_a_slip_of_ours_asks_for_a_report(run: Run) -> None:
    told, way_out = both_lines(run(*ASK, api=FakeApi(loading=RuntimeError("a slip"))).err)
    assert told == "internal error: RuntimeError: a slip"
    assert "--debug" in way_out


def test_debug_shows_the_traceback(run: Run) -> None:
    outcome = run(*ASK, "--debug", api=FakeApi(loading=GGUFError("bad", hint="worse")))
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.endswith("error: bad\nhint: worse\n")
    assert outcome.code == 3


def test_control_characters_are_shown_and_not_obeyed(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi(loading=GGUFError("key 'a\n\x1b[2J' and \udcff", hint="é")))
    assert outcome.err == "error: key 'a\\n\\x1b[2J' and \\udcff\nhint: é\n"


@pytest.mark.parametrize("flag", ["-f", "--chat-template-file"])
def test_text_files_that_cannot_be_read(run: Run, tmp_path: Path, flag: str) -> None:
    ask = ASK if flag != "-f" else ASK[:2]
    latin = tmp_path / "latin.txt"
    latin.write_bytes("caf\xe9".encode("latin-1"))
    for path, reason in [(tmp_path, "Is a directory"), (tmp_path / "none", "No such file"), (latin, "is not UTF-8")]:
        outcome = run(*ask, flag, str(path))
        told, _ = both_lines(outcome.err)
        assert told.startswith(str(path)) and reason in told
        assert outcome.code == 3


@pytest.mark.parametrize("name", ["", "no/such/folder/trace.safetensors"])
def test_a_trace_that_cannot_be_written_is_refused_before_any_work(run: Run, tmp_path: Path, name: str) -> None:
    outcome = run(*ASK, "--trace", str(tmp_path / name))
    both_lines(outcome.err)
    assert (outcome.code, outcome.calls) == (3, {})
