"""From the words on the command line to the words that click parses.

The reference reads each word as one flag: `-fa` is a name of its own and never `-f a`, and `--top_k` is `--top-k`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import click

from mtmd_cli.errors import UsageError

IGNORED: Mapping[str, int] = {
    **dict.fromkeys(("-ngl", "--gpu-layers", "--n-gpu-layers", "-sm", "--split-mode", "-ts", "--tensor-split"), 1),
    **dict.fromkeys(("-mg", "--main-gpu", "-fit", "--fit", "-fitt", "--fit-target", "-fitc", "--fit-ctx"), 1),
    **dict.fromkeys(("-tb", "--threads-batch", "-C", "--cpu-mask", "-Cr", "--cpu-range", "--cpu-strict"), 1),
    **dict.fromkeys(("-Cb", "--cpu-mask-batch", "-Crb", "--cpu-range-batch", "--cpu-strict-batch"), 1),
    **dict.fromkeys(("--prio-batch", "--poll-batch", "-lzm", "--lazy-mode", "-dt", "--defrag-thold"), 1),
    **dict.fromkeys(("-np", "--parallel", "-ncmoe", "--n-cpu-moe", "-ncffn", "--n-cpu-ffn"), 1),
    **dict.fromkeys(("--prio", "--poll", "--numa", "-lm", "--load-mode", "-lv", "--verbosity", "--log-verbosity"), 1),
    **dict.fromkeys(
        ("-kvo", "--kv-offload", "-nkvo", "--no-kv-offload", "--repack", "-nr", "--no-repack", "--no-host"), 0
    ),
    **dict.fromkeys(("--mlock", "--mmap", "--no-mmap", "--op-offload", "--no-op-offload", "--check-tensors"), 0),
    **dict.fromkeys(("--perf", "--no-perf", "--swa-full", "--log-disable", "--log-prefix", "--log-timestamps"), 0),
    **dict.fromkeys(("--no-log-prefix", "--no-log-timestamps", "--no-log-jsonl", "--mmproj-auto"), 0),
    **dict.fromkeys(("-cmoe", "--cpu-moe", "--offline", "-bs", "--backend-sampling"), 0),
}
"""Flags of the reference that change how it works and not what it answers, with the number of their values."""

MISSING = frozenset(
    {
        *("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-mu", "--model-url", "-mmu", "--mmproj-url"),
        *("-hft", "--hf-token", "-cl", "--cache-list", "--no-mmproj", "--no-mmproj-auto", "--video-ffmpeg-dir"),
        *("--video", "--video-fps", "--video-timestamp-interval", "--control-vector-layer-range"),
        *("-dr", "--docker-repo", "--audio", "--lora", "--lora-scaled", "--control-vector"),
        *("--control-vector-scaled", "--grammar", "--grammar-file", "-j", "--json-schema", "-jf", "--json-schema-file"),
        *("-bf", "--binary-file", "-sysf", "--system-prompt-file", "--keep", "-ot", "--override-tensor"),
        *("--override-kv", "--rpc", "--rope-scaling", "--rope-scale", "--rope-freq-base", "--rope-freq-scale"),
        *("--yarn-orig-ctx", "--yarn-ext-factor", "--yarn-attn-factor", "--yarn-beta-slow", "--yarn-beta-fast"),
        *("--adaptive-target", "--adaptive-decay", "--log-file", "--log-colors"),
        "--log-jsonl",
    }
)
"""Flags of the reference that would change the answer, and that are not here yet."""


def normalise(words: Sequence[str], options: Iterable[click.Parameter]) -> tuple[list[str], list[str]]:
    """The words for click, and the flags that were left out because they mean nothing here.

    Raises NoSuchOption for a flag that is unknown, UsageError for one of `MISSING`.
    """
    takes_value = {name: not _is_flag(option) for option in options for name in (*option.opts, *option.secondary_opts)}
    kept: list[str] = []
    ignored: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            kept += [word, *rest]
        elif not word.startswith("-") or word == "-":
            kept.append(word)
        else:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = name.replace("_", "-")
            if name in takes_value:
                glued = [name + equals + value] if name.startswith("--") or not equals else [name, value]
                kept += [*glued, *islice(rest, 1 if takes_value[name] and not equals else 0)]
            elif name in IGNORED:
                ignored.append(name)
                list(islice(rest, 0 if equals else IGNORED[name]))
            else:
                raise _unknown(name, takes_value)
    return kept, ignored


def _is_flag(option: click.Parameter) -> bool:
    return isinstance(option, click.Option) and (option.is_flag or option.count)


def _unknown(name: str, known: Iterable[str]) -> Exception:
    if name in MISSING:
        return UsageError(
            f"{name} is a flag of llama-mtmd-cli that mtmd-cli does not have yet",
            hint="leave it out; mtmd-cli --help lists what there is",
        )
    return click.NoSuchOption(name, possibilities=difflib.get_close_matches(name, list(known), n=3, cutoff=0.6))
