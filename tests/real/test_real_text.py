"""Real language models say what the reference says, and compute what transformers computes.

The reference multiplies with activations of 8 bits, which moves the log probabilities of unlikely tokens by up to 0.5;
this program multiplies with float32. So greedy tokens are compared as far as the reference's first two choices lie well
apart, and of the first token the best log probability and five probabilities. That the rest is the reference's rounding
is shown by a third program.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from torch import Tensor
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

import mtmd_cli
from mtmd_cli.gguf import GGUFFile
from tests.golden.cases import golden_root
from tests.real.models import REAL_MODELS, RealModel, real_folder

pytestmark = pytest.mark.real

RECORD = golden_root() / "real-text.json"
SAID: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
CLOSE = 0.3  # between the log probabilities of the reference's two best choices
NEAR = 0.15  # between log probabilities of the best first token
LIKELY = 0.1  # between probabilities of the five best first tokens
SAME = 2e-4  # between two programs in float32, over the whole vocabulary
ROWS = [
    pytest.param(model, case, id=f"{model.name}-{number}")
    for model in REAL_MODELS
    for number, case in enumerate(SAID.get(model.name, {}).get("cases", []))
]


@lru_cache(maxsize=1)
def engine_of(model: RealModel) -> mtmd_cli.Engine:
    path = real_folder() / model.file
    if not path.exists():
        pytest.skip(f"{path} is not there; python {Path('tests/real/models.py')} fetches it")
    return mtmd_cli.load(path, device="cpu", dtype="f32", context=256, cache_type_k="f32", cache_type_v="f32")


def answer(engine: mtmd_cli.Engine, prompt: str, tokens: int) -> tuple[mtmd_cli.Finished, Tensor]:
    """A greedy answer to a raw prompt, and the log probabilities of its first token."""
    trace, greedy = mtmd_cli.Trace(), mtmd_cli.Sampling(temperature=0)
    *_, finished = engine.stream(prompt, chat=False, sampling=greedy, max_tokens=tokens, trace=trace)
    assert isinstance(finished, mtmd_cli.Finished)
    return finished, torch.log_softmax(trace.tensors["logits"][0], dim=-1)


def clear_steps(case: dict[str, Any]) -> int:
    """How many tokens the reference chose by a clear gap, from the first on."""
    gaps = [step["top"][0][1] - step["top"][1][1] for step in case["top5_logprobs"]]
    return next((step for step, gap in enumerate(gaps) if gap < CLOSE), len(gaps))


@pytest.mark.parametrize(("model", "case"), ROWS)
def test_answers_equal_the_reference(model: RealModel, case: dict[str, Any]) -> None:
    steps = clear_steps(case)
    finished, ours = answer(engine_of(model), case["prompt"], steps)
    assert [token for chunk in finished.chunks if chunk.type == "text" for token in chunk.tokens] == (
        case["prompt_tokens"]
    )
    assert list(finished.tokens) == case["greedy_tokens"][:steps]
    best, *_ = pairs = [(float(ours[token]), theirs) for token, theirs in case["top5_logprobs"][0]["top"]]
    assert best[0] == pytest.approx(best[1], abs=NEAR)
    assert [math.exp(ours) for ours, _ in pairs] == pytest.approx([math.exp(theirs) for _, theirs in pairs], abs=LIKELY)


@pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in REAL_MODELS if model.name in SAID])
@torch.inference_mode()
def test_float32_equals_transformers(model: RealModel) -> None:
    engine, case = engine_of(model), SAID[model.name]["cases"][1]
    _, ours = answer(engine, case["prompt"], 0)
    logits = other_program(engine.language_file)(torch.tensor([case["prompt_tokens"]])).logits[0, -1]
    assert float((ours - torch.log_softmax(logits, dim=-1)).abs().max()) <= SAME


def test_the_chat_template_of_a_real_file() -> None:
    model = REAL_MODELS[0]
    engine, said = engine_of(model), SAID[model.name]["chat_template_render"]
    assert engine.template().render(said["messages"]) == said["prompt"]


def other_program(file: GGUFFile) -> Any:
    """The same weights in transformers' module for the same architecture."""
    metadata, architecture = file.metadata, file.metadata.str("general.architecture")

    def size(key: str) -> int:
        return metadata.int(f"{architecture}.{key}")

    base = metadata.float(f"{architecture}.rope.freq_base")
    heads, kv_heads = size("attention.head_count"), size("attention.head_count_kv")
    sizes: dict[str, Any] = {
        "vocab_size": len(metadata.strs("tokenizer.ggml.tokens")),
        "hidden_size": size("embedding_length"),
        "intermediate_size": size("feed_forward_length"),
        "num_hidden_layers": size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": metadata.float(f"{architecture}.attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attn_implementation": "eager",
    }
    if architecture == "llama":
        module: Any = LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters={"rope_theta": base}))
    else:
        ropes = {"full_attention": base, "sliding_attention": 10000.0}
        config = Gemma3TextConfig(
            **sizes,
            head_dim=size("attention.key_length"),
            query_pre_attn_scalar=size("attention.key_length"),
            sliding_window=size("attention.sliding_window"),
            rope_parameters={kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in ropes.items()},
        )
        module = Gemma3ForCausalLM(config)
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), size("block_count")
    )
    for name, parameter in module.named_parameters():
        tensor = file.tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))].dequantise()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            rows = (heads if "q_proj" in name else kv_heads, -1, 2)
            tensor = tensor.unflatten(0, rows).transpose(1, 2).reshape(tensor.shape)
        elif architecture == "gemma3" and name.endswith("norm.weight"):
            tensor = tensor - 1
        parameter.copy_(tensor)
    return module.eval()
