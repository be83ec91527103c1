"""The flags of sampling, with the reference's defaults (temperature 0.2 in this program)."""

from __future__ import annotations

from typing import Any

import click

from mtmd_cli.cli.option import Option
from mtmd_cli.cli.values import LogitBias, Number, SamplerLetters, SamplerNames
from mtmd_cli.pipeline.sampling.settings import SAMPLERS

_COUNT = click.IntRange(min=0)
_ANY = Number()
_NOT_NEGATIVE = Number(min=0)
_PROBABILITY = Number(0, 1)
_SEED = click.IntRange(-1, 2**32 - 1)


def _row(name: str, spelling: str, default: float | None, type: click.ParamType, help: str, **rest: Any) -> Option:
    return Option(name, spelling, help, goal="sampling", default=default, type=type, **rest)


_MAIN = [
    _row(
        "temperature",
        "--temp T",
        0.2,
        Number(min=0, clamp=True),
        "0 always takes the likeliest token",
        also="--temperature",
        env="LLAMA_ARG_TEMPERATURE",
    ),
    _row("top_k", "--top-k N", 40, click.INT, "keep the N likeliest; 0 is all", env="LLAMA_ARG_TOP_K"),
    _row("top_p", "--top-p P", 0.95, _ANY, "keep the likeliest up to P; 1 is off", env="LLAMA_ARG_TOP_P"),
    _row("min_p", "--min-p P", 0.05, _ANY, "keep down to P of the best; 0 is off", env="LLAMA_ARG_MIN_P"),
    _row("seed", "-s, --seed N", -1, _SEED, "-1 takes another each time"),
    _row(
        "repeat_penalty",
        "--repeat-penalty X",
        1.0,
        Number(min=0, min_open=True),
        "divide logits of repeats; 1 is off",
        env="LLAMA_ARG_REPEAT_PENALTY",
    ),
    _row(
        "presence_penalty",
        "--presence-penalty X",
        0.0,
        _ANY,
        "subtract X from what has come",
        env="LLAMA_ARG_PRESENCE_PENALTY",
    ),
    _row(
        "frequency_penalty",
        "--frequency-penalty X",
        0.0,
        _ANY,
        "the same for each time it came",
        env="LLAMA_ARG_FREQUENCY_PENALTY",
    ),
    _row("repeat_last_n", "--repeat-last-n N", 64, _COUNT, "how far back these look; 0 is off"),
    Option("ignore_eos", "--ignore-eos", "go on after the end of the answer", is_flag=True),
    _row("logit_bias", "-l, --logit-bias ID±X", None, LogitBias(), "add X to a token; may come again", multiple=True),
]

_RARE = [
    Option("samplers", "--samplers NAMES", f"in their order: {'; '.join(SAMPLERS)}", type=SamplerNames()),
    Option(
        "sampler_seq",
        "--sampler-seq LETTERS",
        "the same by letter",
        also="--sampling-seq",
        type=SamplerLetters(),
    ),
    _row("typical_p", "--typical P", 1.0, _ANY, "locally typical sampling; 1 is off", also="--typical-p"),
    _row("top_n_sigma", "--top-n-sigma X", -1.0, _ANY, "X deviations below the best", also="--top-nsigma"),
    _row("xtc_probability", "--xtc-probability P", 0.0, _PROBABILITY, "leave out the likeliest this often"),
    _row("xtc_threshold", "--xtc-threshold P", 0.1, _PROBABILITY, "as long as they are likelier than P"),
    _row("dynatemp_range", "--dynatemp-range X", 0.0, _NOT_NEGATIVE, "vary the temperature by X; 0 is off"),
    _row("dynatemp_exponent", "--dynatemp-exp X", 1.0, _ANY, "how it follows the entropy"),
    _row("dry_multiplier", "--dry-multiplier X", 0.0, _NOT_NEGATIVE, "against repeated sequences; 0 is off"),
    _row("dry_base", "--dry-base X", 1.75, Number(min=1), "how it grows with their length"),
    _row("dry_allowed_length", "--dry-allowed-length N", 2, _COUNT, "the length that costs nothing"),
    _row("dry_penalty_last_n", "--dry-penalty-last-n N", 64, _COUNT, "how far back it looks; 0 is off"),
    _row(
        "dry_sequence_breakers",
        "--dry-sequence-breaker TEXT",
        None,
        click.STRING,
        r"""what ends a sequence, or none [\n : " *]""",
        multiple=True,
    ),
    _row("mirostat", "--mirostat N", 0, click.IntRange(0, 2), "choose by Mirostat 1 or 2; 0 is off"),
    _row("mirostat_tau", "--mirostat-ent X", 5.0, _NOT_NEGATIVE, "the entropy that it aims at"),
    _row("mirostat_eta", "--mirostat-lr X", 0.1, _NOT_NEGATIVE, "how fast it learns"),
]

SAMPLING_SECTIONS = {"Sampling": _MAIN, "Sampling, rarely needed": _RARE}
