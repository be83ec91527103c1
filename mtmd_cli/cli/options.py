"""The flags in the order in which a person looks for them.

Names, defaults and environment variables are those of llama-mtmd-cli where it has the flag; `--jinja` is on here.
A text is short enough to stand on one line of an 80-column terminal. Source: common/arg.cpp of llama.cpp b11434.
"""

from __future__ import annotations

from functools import partial

import click

from mtmd_cli.cli.option import Option
from mtmd_cli.cli.sampling_options import SAMPLING_SECTIONS
from mtmd_cli.cli.values import CACHE_TYPE, DTYPE, FILE, ON_OFF_AUTO, Device, Files, JSONObject, Words

_COUNT = click.IntRange(min=0)
_POSITIVE = click.IntRange(min=1)
# More would each ask for a stack, until the process dies of it.
_THREADS = click.IntRange(max=512)
_load = partial(Option, goal="load")

_QUESTION = [
    Option("prompt", "-p, --prompt TEXT", "the question; <__media__> places an image"),
    Option("prompt_file", "-f, --file FILE", "read the question from a file; - is stdin", type=FILE),
    Option("images", "--image FILE[,FILE]", "an image to look at; may be given again", type=Files(), multiple=True),
    Option("system", "-sys, --system-prompt TEXT", "what the model is told before the question"),
    Option(
        "max_tokens",
        "-n, --predict N",
        "tokens of answer at most; -1 is no limit",
        also="--n-predict",
        type=click.INT,
        default=-1,
        env="LLAMA_ARG_N_PREDICT",
    ),
    Option("escape", "-e/--no-escape", r"take \n, \t, \x41 in the question as typed", also="--escape", default=True),
]

_MODEL = [
    Option("model", "-m, --model FILE", "language model, or the package's own", type=FILE, env="LLAMA_ARG_MODEL"),
    Option("mmproj", "-mm, --mmproj FILE", "vision projector, a GGUF file", type=FILE, env="LLAMA_ARG_MMPROJ"),
    _load("dtype", "--dtype auto|f32|bf16|f16", "compute in this type; f32 is exact", type=DTYPE, default="auto"),
]

_OUTPUT = [
    Option("json", "--json", "print one JSON object (docs/json.md)", is_flag=True),
    Option("trace", "--trace FILE", "save tensors on the way, as safetensors", type=FILE),
    Option(
        "warmup",
        "--warmup MODE",
        "before the question: auto|encode|plan|off; auto encodes an image on an accelerator, and plans one on a CPU",
        type=Words("auto", "encode", "plan", "off"),
        default="auto",
    ),
    Option("no_warmup", "--no-warmup", "the same as --warmup off", is_flag=True),
    Option("deny_ops", "--deny-op NAME", "play a device that lacks an operator", multiple=True),
    Option("verbose", "-v, --verbose", "tell timings and choices", also="--log-verbose", is_flag=True),
    Option("debug", "--debug", "show the traceback of an error", is_flag=True),
    Option("version", "--version", "show the version, and exit", is_flag=True),
]

_TEMPLATE = [
    _load(
        "chat_template",
        "--chat-template NAME|JINJA",
        "a template in place of the model's own",
        env="LLAMA_ARG_CHAT_TEMPLATE",
    ),
    Option(
        "chat_template_file",
        "--chat-template-file FILE",
        "a template from a file",
        type=FILE,
        env="LLAMA_ARG_CHAT_TEMPLATE_FILE",
    ),
    _load("jinja", "--jinja/--no-jinja", "use the named template that fits best", default=True, env="LLAMA_ARG_JINJA"),
    Option(
        "reasoning",
        "-rea, --reasoning MODE",
        "think first, if it can: on, off or auto",
        type=ON_OFF_AUTO,
        default="auto",
        env="LLAMA_ARG_REASONING",
    ),
    Option(
        "template_values",
        "--chat-template-kwargs JSON",
        "values that the template knows",
        type=JSONObject(),
        env="LLAMA_ARG_CHAT_TEMPLATE_KWARGS",
    ),
    Option("raw", "--no-chat-template", "send the question as it is", is_flag=True),
]

_IMAGE = [
    _load(
        "image_min_tokens",
        "--image-min-tokens N",
        "at least N tokens an image, if it can",
        type=click.INT,
        env="LLAMA_ARG_IMAGE_MIN_TOKENS",
    ),
    _load(
        "image_max_tokens",
        "--image-max-tokens N",
        "at most N tokens an image, if it can",
        type=click.INT,
        env="LLAMA_ARG_IMAGE_MAX_TOKENS",
    ),
    _load(
        "preproc",
        "--preproc llama|hf",
        "images as in llama.cpp or transformers",
        type=Words("llama", "hf"),
        default="llama",
    ),
    Option(
        "alpha",
        "--alpha drop|white|black",
        "drop alpha, or lay it on a colour",
        type=Words("drop", "white", "black"),
        default="drop",
    ),
]

_DEVICE = [
    _load(
        "device",
        "-dev, --device DEVICE",
        "auto, cpu, cuda, cuda:1, mps or xpu",
        type=Device(),
        default="auto",
        env="LLAMA_ARG_DEVICE",
    ),
    _load(
        "mmproj_device",
        "-mmdev, --mmproj-device DEV",
        "where the vision tower runs [as -dev]",
        type=Device(),
        env="MTMD_BACKEND_DEVICE",
    ),
    _load(
        "mmproj_offload",
        "--mmproj-offload/--no-mmproj-offload",
        "keep the vision tower on the CPU",
        default=True,
        env="LLAMA_ARG_MMPROJ_OFFLOAD",
    ),
    Option("list_devices", "--list-devices", "list the devices that are here, and exit", is_flag=True),
    _load("threads", "-t, --threads N", "CPU threads [one a core]", type=_THREADS, env="LLAMA_ARG_THREADS"),
]

_ATTENTION = [
    _load(
        "context",
        "-c, --ctx-size N",
        "room for tokens; 0 is as the model says",
        type=_COUNT,
        default=0,
        env="LLAMA_ARG_CTX_SIZE",
    ),
    _load(
        "batch",
        "-b, --batch-size N",
        "tokens of the question at once",
        type=_POSITIVE,
        default=2048,
        env="LLAMA_ARG_BATCH",
    ),
    _load(
        "ubatch",
        "-ub, --ubatch-size N",
        "tokens computed at once",
        type=_POSITIVE,
        default=512,
        env="LLAMA_ARG_UBATCH",
    ),
    _load(
        "flash_attn",
        "-fa, --flash-attn MODE",
        "fused attention: on, off or auto",
        type=ON_OFF_AUTO,
        default="auto",
        env="LLAMA_ARG_FLASH_ATTN",
    ),
    _load("mmproj_flash_attn", "--mmproj-flash-attn MODE", "the vision tower's own [as -fa]", type=ON_OFF_AUTO),
    _load(
        "cache_type_k",
        "-ctk, --cache-type-k TYPE",
        "cached keys: f16, f32, bf16, q8_0 …",
        type=CACHE_TYPE,
        default="f16",
        env="LLAMA_ARG_CACHE_TYPE_K",
    ),
    _load(
        "cache_type_v",
        "-ctv, --cache-type-v TYPE",
        "values; quantized ones need -fa",
        type=CACHE_TYPE,
        default="f16",
        env="LLAMA_ARG_CACHE_TYPE_V",
    ),
]

SECTIONS: dict[str, list[Option]] = {
    "Question": _QUESTION,
    "Model": _MODEL,
    "Output": _OUTPUT,
    "Chat template": _TEMPLATE,
    "Images": _IMAGE,
    "Device": _DEVICE,
    "Context and attention": _ATTENTION,
    **SAMPLING_SECTIONS,
}
