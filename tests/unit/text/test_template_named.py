"""Each named template writes its format to the letter (src/llama-chat.cpp), and foreign sources find theirs."""

from __future__ import annotations

import pytest

from mtmd_cli.text.named_templates import NAMED_TEMPLATES, RESEMBLANCES, template_named_like
from mtmd_cli.text.template import Message, named_template

# The spaces show what a format trims.
CONVERSATION: list[Message] = [
    {"role": "system", "content": " S"},
    {"role": "user", "content": " U"},
    {"role": "assistant", "content": " A"},
    {"role": "user", "content": " V"},
]
GRANITE = (
    "<|start_of_role|>system<|end_of_role|> S<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|> U<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|> A<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|> V<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>"
)
EXAONE = "[|system|]S[|endofturn|]\n[|user|]U\n[|assistant|]A[|endofturn|]\n[|user|]V\n[|assistant|]"
FORMATS = {
    "chatml": "<|im_start|>system\n S<|im_end|>\n<|im_start|>user\n U<|im_end|>\n<|im_start|>assistant\n A<|im_end|>\n"
    "<|im_start|>user\n V<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "[INST]  S\n U [/INST] A</s>[INST]  V [/INST]",
    "llama2-sys": "[INST] <<SYS>>\n S\n<</SYS>>\n\n U [/INST] A</s>[INST]  V [/INST]",
    "llama2-sys-bos": "[INST] <<SYS>>\n S\n<</SYS>>\n\n U [/INST] A</s><s>[INST]  V [/INST]",
    "llama2-sys-strip": "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]A</s>[INST] V [/INST]",
    "mistral-v1": " [INST]  S\n\n U [/INST]  A</s> [INST]  V [/INST]",
    "mistral-v3": "[INST]  S\n\n U[/INST] A</s>[INST]  V[/INST]",
    "mistral-v3-tekken": "[INST] S\n\n U[/INST] A</s>[INST] V[/INST]",
    "mistral-v7": "[SYSTEM_PROMPT]  S[/SYSTEM_PROMPT][INST]  U[/INST]  A</s>[INST]  V[/INST]",
    "mistral-v7-tekken": "[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] U[/INST] A</s>[INST] V[/INST]",
    "phi3": "<|system|>\n S<|end|>\n<|user|>\n U<|end|>\n<|assistant|>\n A<|end|>\n"
    "<|user|>\n V<|end|>\n<|assistant|>\n",
    "phi4": "<|im_start|>system<|im_sep|> S<|im_end|><|im_start|>user<|im_sep|> U<|im_end|>"
    "<|im_start|>assistant<|im_sep|> A<|im_end|><|im_start|>user<|im_sep|> V<|im_end|><|im_start|>assistant<|im_sep|>",
    "falcon3": "<|system|>\n S\n<|user|>\n U\n<|assistant|>\n A\n<|user|>\n V\n<|assistant|>\n",
    "zephyr": "<|system|>\n S<|endoftext|>\n<|user|>\n U<|endoftext|>\n<|assistant|>\n A<|endoftext|>\n"
    "<|user|>\n V<|endoftext|>\n<|assistant|>\n",
    "monarch": "system\n S</s>\n<s>user\n U</s>\n<s>assistant\n A</s>\n<s>user\n V</s>\n<s>assistant\n",
    "gemma": "<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
    "<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
    "orion": "Human:  S\n\n U\n\nAssistant: </s> A</s>Human:  V\n\nAssistant: </s>",
    "openchat": " S<|end_of_turn|>GPT4 Correct User:  U<|end_of_turn|>GPT4 Correct Assistant:  A<|end_of_turn|>"
    "GPT4 Correct User:  V<|end_of_turn|>GPT4 Correct Assistant:",
    "vicuna": " S\n\nUSER:  U\nASSISTANT:  A</s>\nUSER:  V\nASSISTANT:",
    "vicuna-orca": "SYSTEM:  S\nUSER:  U\nASSISTANT:  A</s>\nUSER:  V\nASSISTANT:",
    "deepseek": " S### Instruction:\n U\n### Response:\n A\n<|EOT|>\n### Instruction:\n V\n### Response:\n",
    "deepseek2": " S\n\nUser:  U\n\nAssistant:  A<｜end▁of▁sentence｜>User:  V\n\nAssistant:",
    "deepseek3": " S\n\n<｜User｜> U<｜Assistant｜> A<｜end▁of▁sentence｜><｜User｜> V<｜Assistant｜>",
    "deepseek-ocr": " S U A V",
    "command-r": "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>U<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>V<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "llama3": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "U<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama4": "<|header_start|>system<|header_end|>\n\nS<|eot|><|header_start|>user<|header_end|>\n\nU<|eot|>"
    "<|header_start|>assistant<|header_end|>\n\nA<|eot|><|header_start|>user<|header_end|>\n\nV<|eot|>"
    "<|header_start|>assistant<|header_end|>\n\n",
    "chatglm3": "[gMASK]sop<|system|>\n  S<|user|>\n  U<|assistant|>\n  A<|user|>\n  V<|assistant|>",
    "chatglm4": "[gMASK]<sop><|system|>\n S<|user|>\n U<|assistant|>\n A<|user|>\n V<|assistant|>\n",
    "glmedge": "<|system|>\n S<|user|>\n U<|assistant|>\n A<|user|>\n V<|assistant|>",
    "minicpm": "S<用户>U<AI>A<用户>V<AI>",
    "exaone3": EXAONE,
    "exaone4": EXAONE,
    "exaone-moe": "<|system|>\nS<|endofturn|>\n<|user|>\nU<|endofturn|>\n<|assistant|>\nA<|endofturn|>\n"
    "<|user|>\nV<|endofturn|>\n<|assistant|>\n",
    "rwkv-world": "System: S\n\nUser: U\n\nAssistant: A\n\nUser: V\n\nAssistant:",
    "granite": GRANITE,
    "granite-4.0": GRANITE,
    "granite-4.1": GRANITE,
    "gigachat": "<s> S<|message_sep|>user<|role_sep|> U<|message_sep|>available functions<|role_sep|>[]<|message_sep|>"
    "assistant<|role_sep|> A<|message_sep|>user<|role_sep|> V<|message_sep|>"
    "available functions<|role_sep|>[]<|message_sep|>assistant<|role_sep|>",
    "megrez": "<|role_start|>system<|role_end|> S<|turn_end|><|role_start|>user<|role_end|> U<|turn_end|>"
    "<|role_start|>assistant<|role_end|> A<|turn_end|><|role_start|>user<|role_end|> V<|turn_end|>"
    "<|role_start|>assistant<|role_end|>",
    # The reference drops the system message here; it goes in front of the user's words, as everywhere else.
    "yandex": " Пользователь:  S\n U\n\n Ассистент:  A\n\n Пользователь:  V\n\n Ассистент:[SEP]",
    "bailing": "<role>SYSTEM</role> S<role>HUMAN</role> U<role>ASSISTANT</role> A<role>HUMAN</role> V"
    "<role>ASSISTANT</role>",
    "bailing-think": "<role>SYSTEM</role> S<role>HUMAN</role> U<role>ASSISTANT</role> A<role>HUMAN</role> V"
    "<role>ASSISTANT</role><think>",
    "bailing2": "<role>SYSTEM</role> S<|role_end|><role>HUMAN</role> U<|role_end|><role>ASSISTANT</role> A<|role_end|>"
    "<role>HUMAN</role> V<|role_end|><role>ASSISTANT</role>",
    "smolvlm": "<|im_start|> S\n\nUser:  U<end_of_utterance>\nAssistant:  A<end_of_utterance>\n"
    "User:  V<end_of_utterance>\nAssistant:",
    "dots1": "<|system|> S<|endofsystem|><|userprompt|> U<|endofuserprompt|><|response|> A<|endofresponse|>"
    "<|userprompt|> V<|endofuserprompt|><|response|>",
    "hunyuan-moe": "<|startoftext|> S<|extra_4|><|startoftext|> U<|extra_0|> A<|eos|><|startoftext|> V<|extra_0|>",
    "hunyuan-dense": " S<｜hy_place▁holder▁no▁3｜><｜hy_User｜> U<｜hy_Assistant｜><｜hy_Assistant｜> A"
    "<｜hy_place▁holder▁no▁2｜><｜hy_User｜> V<｜hy_Assistant｜>",
    "hunyuan-vl": "<｜hy_begin▁of▁sentence｜> S<｜hy_place▁holder▁no▁3｜> U<｜hy_User｜>"
    " A<｜hy_Assistant｜> V<｜hy_User｜>",
    "gpt-oss": "<|start|>system<|message|> S<|end|><|start|>user<|message|> U<|end|>"
    "<|start|>assistant<|message|> A<|return|><|start|>user<|message|> V<|end|><|start|>assistant",
    "kimi-k2": "<|im_system|>system<|im_middle|> S<|im_end|><|im_user|>user<|im_middle|> U<|im_end|>"
    "<|im_assistant|>assistant<|im_middle|> A<|im_end|><|im_user|>user<|im_middle|> V<|im_end|>"
    "<|im_assistant|>assistant<|im_middle|>",
    "seed_oss": "<seed:bos>system\n S<seed:eos><seed:bos>user\n U<seed:eos><seed:bos>assistant\nA<seed:eos>"
    "<seed:bos>user\n V<seed:eos><seed:bos>assistant\n",
    "grok-2": "System: S<|separator|>\n\nHuman: U<|separator|>\n\nAssistant:  A<|separator|>\n\n"
    "Human: V<|separator|>\n\nAssistant:",
    "pangu-embedded": "[unused9]系统： S[unused10][unused9]用户： U[unused10][unused9]助手： A[unused10]"
    "[unused9]用户： V[unused10][unused9]助手：",
    "solar-open": "<|begin|>system<|content|> S<|end|><|begin|>user<|content|> U<|end|>"
    "<|begin|>assistant<|content|> A<|end|><|begin|>user<|content|> V<|end|><|begin|>assistant",
}


@pytest.mark.parametrize("name", sorted(NAMED_TEMPLATES))
def test_format(name: str) -> None:
    assert named_template(name).render(CONVERSATION) == FORMATS[name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma", "<start_of_turn>user\nU<end_of_turn>\n"),
        ("vicuna", "USER:  U\n"),
        ("bailing2", "<role>SYSTEM</role>detailed thinking off<|role_end|><role>HUMAN</role> U<|role_end|>"),
        ("pangu-embedded", "[unused9]系统：[unused10][unused9]用户： U[unused10]"),
        ("mistral-v1", " [INST]  U [/INST]"),
    ],
)
def test_format_without_system_message_and_generation_prompt(name: str, text: str) -> None:
    assert named_template(name).render(CONVERSATION[1:2], add_generation_prompt=False) == text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("<|im_start|>", "chatml"),
        ("<|im_start|> <|im_sep|>", "phi4"),
        ("<|im_start|> <end_of_utterance> <|im_sep|>", "phi4"),
        ("<|im_start|> [INST]", "chatml"),  # the first row wins
        ("[INST] [SYSTEM_PROMPT] [AVAILABLE_TOOLS]", "mistral-v7"),
        ("{{ ' [INST] ' + system_message }}", "mistral-v1"),
        ("[AVAILABLE_TOOLS] [INST]", "mistral-v1"),
        ('[AVAILABLE_TOOLS]"[INST]"', "mistral-v3-tekken"),
        ("[AVAILABLE_TOOLS]'[INST]'", "mistral-v3"),
        ("[AVAILABLE_TOOLS]", None),
        ("[INST]<<SYS>>", "llama2-sys"),
        ("[INST]<<SYS>> content.strip() bos_token + '[INST]", "llama2-sys-strip"),
        ("<|user|><|assistant|><|end|>", "phi3"),
        ("<|user|><|assistant|></s>", "falcon3"),
        ("<|user|><|assistant|>", "glmedge"),
        ("<|user|><|endoftext|>", "zephyr"),
        (r"{{ '\n\nAssistant: ' + eos_token }}", "orion"),
        ("USER: ASSISTANT: SYSTEM: ", "vicuna-orca"),
        ("<|start_of_role|><tools>g4_default_system_message", "granite-4.0"),
        ("<|start_of_role|><tool_call>", "granite-4.1"),
        ("<|turn>user", None),
        ("", None),
    ],
)
def test_source_resembles(source: str, name: str | None) -> None:
    assert template_named_like(source) == name


def test_resemblances_name_templates() -> None:
    assert {name for name, _ in RESEMBLANCES} <= set(NAMED_TEMPLATES)
