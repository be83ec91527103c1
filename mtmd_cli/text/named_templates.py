"""Chat templates by name, for files that carry none, and the rules that tell which one a foreign source resembles.

The formats are those of llama.cpp's table (src/llama-chat.cpp, b11434), written as Jinja.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ROLE: Final = "{{ message.role }}"
TEXT: Final = "{{ message.content }}"
TRIM: Final = "{{ message.content | trim }}"
LOUD_ROLE: Final = "{{ 'HUMAN' if message.role == 'user' else message.role | upper }}"
AFTER_ANSWER: Final = "loop.previtem is defined and loop.previtem.role not in ['system', 'user']"


def turns(turn: str, answer: str = "", opening: str = "") -> str:
    """`turn` for every message, then `answer` where the model goes on."""
    return (
        f"{opening}{{% for message in messages %}}{turn}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{answer}{{% endif %}}"
    )


def by_role(system: str, user: str, assistant: str, tool: str = "") -> str:
    """A turn that depends on who speaks."""
    rows = [("system", system), ("user", user), ("assistant", assistant), ("tool", tool)]
    return (
        "".join(f"{{% {'if' if role == 'system' else 'elif'} message.role == '{role}' %}}{text}" for role, text in rows)
        + "{% endif %}"
    )


def llama2(*, system: str = f"<<SYS>>\n{TEXT}\n<</SYS>>\n\n", text: str = TEXT, again: str = "[INST] ") -> str:
    later = f"{{% if {AFTER_ANSWER} %}}{again}{{% endif %}}"
    return turns(later + by_role(system, f"{text} [/INST]", f"{text}</s>"), opening="[INST] ")


def mistral(before: str, after: str, answer: str = TEXT) -> str:
    begin = f"{{% if loop.first or {AFTER_ANSWER} %}}{before}[INST]{after}{{% endif %}}"
    return turns(begin + by_role(f"{TEXT}\n\n", f"{TEXT}{before}[/INST]", f"{after}{answer}</s>"))


def mistral7(after: str) -> str:
    return turns(
        by_role(f"[SYSTEM_PROMPT]{after}{TEXT}[/SYSTEM_PROMPT]", f"[INST]{after}{TEXT}[/INST]", f"{after}{TEXT}</s>")
    )


def system_before_user(turn: str, answer: str = "", said: str = "message.content") -> str:
    """For formats without a system turn: `held.text` is what it said, to stand in front of the user's words."""
    hold = f"{{% if message.role == 'system' %}}{{% set held.text = held.text + {said} %}}{{% else %}}"
    return turns(f"{hold}{turn}{{% endif %}}", answer, opening="{% set held = namespace(text='') %}")


HELD: Final = "{% if held.text %}{{ held.text + '\\n\\n' }}{% set held.text = '' %}{% endif %}"
GEMMA_ROLE: Final = "{{ 'model' if message.role == 'assistant' else message.role }}"
GEMMA_HELD: Final = f"{{% if message.role != 'assistant' %}}{HELD}{{% endif %}}"
GRANITE: Final = turns(
    f"<|start_of_role|>{ROLE}<|end_of_role|>{TEXT}<|end_of_text|>\n", "<|start_of_role|>assistant<|end_of_role|>"
)
EXAONE: Final = by_role(
    f"[|system|]{TRIM}[|endofturn|]\n", f"[|user|]{TRIM}\n", f"[|assistant|]{TRIM}[|endofturn|]\n", "{tool}"
)
OPEN_NO_SYSTEM: Final = "{% if messages[0].role != 'system' %}"

NAMED_TEMPLATES: Final[Mapping[str, str]] = {
    "chatml": turns(f"<|im_start|>{ROLE}\n{TEXT}<|im_end|>\n", "<|im_start|>assistant\n"),
    "llama2": llama2(system=f"{TEXT}{{{{ '\\n' }}}}"),
    "llama2-sys": llama2(),
    "llama2-sys-bos": llama2(again="<s>[INST] "),
    "llama2-sys-strip": llama2(system=f"<<SYS>>\n{TRIM}\n<</SYS>>\n\n", text=TRIM),
    "mistral-v1": mistral(" ", " "),
    "mistral-v3": mistral("", " ", answer=TRIM),
    "mistral-v3-tekken": mistral("", ""),
    "mistral-v7": mistral7(" "),
    "mistral-v7-tekken": mistral7(""),
    "phi3": turns(f"<|{ROLE}|>\n{TEXT}<|end|>\n", "<|assistant|>\n"),
    "phi4": turns(f"<|im_start|>{ROLE}<|im_sep|>{TEXT}<|im_end|>", "<|im_start|>assistant<|im_sep|>"),
    "falcon3": turns(f"<|{ROLE}|>\n{TEXT}\n", "<|assistant|>\n"),
    "zephyr": turns(f"<|{ROLE}|>\n{TEXT}<|endoftext|>\n", "<|assistant|>\n"),
    "monarch": turns(f"{{% if not loop.first %}}<s>{{% endif %}}{ROLE}\n{TEXT}</s>\n", "<s>assistant\n"),
    "gemma": system_before_user(
        f"<start_of_turn>{GEMMA_ROLE}\n{GEMMA_HELD}{TRIM}<end_of_turn>\n",
        "<start_of_turn>model\n",
        said="message.content | trim",
    ),
    "orion": system_before_user(
        f"{{% if message.role == 'user' %}}Human: {HELD}{TEXT}\n\nAssistant: </s>{{% else %}}{TEXT}</s>{{% endif %}}"
    ),
    "openchat": turns(
        f"{{% if message.role != 'system' %}}GPT4 Correct {{{{ message.role | capitalize }}}}: {{% endif %}}"
        f"{TEXT}<|end_of_turn|>",
        "GPT4 Correct Assistant:",
    ),
    "vicuna": turns(by_role(f"{TEXT}\n\n", f"USER: {TEXT}\n", f"ASSISTANT: {TEXT}</s>\n"), "ASSISTANT:"),
    "vicuna-orca": turns(by_role(f"SYSTEM: {TEXT}\n", f"USER: {TEXT}\n", f"ASSISTANT: {TEXT}</s>\n"), "ASSISTANT:"),
    "deepseek": turns(
        by_role(TEXT, f"### Instruction:\n{TEXT}\n", f"### Response:\n{TEXT}\n<|EOT|>\n"), "### Response:\n"
    ),
    "deepseek2": turns(
        by_role(f"{TEXT}\n\n", f"User: {TEXT}\n\n", f"Assistant: {TEXT}<｜end▁of▁sentence｜>"), "Assistant:"
    ),
    "deepseek3": turns(
        by_role(f"{TEXT}\n\n", f"<｜User｜>{TEXT}", f"<｜Assistant｜>{TEXT}<｜end▁of▁sentence｜>"), "<｜Assistant｜>"
    ),
    "deepseek-ocr": turns(TEXT),
    "command-r": turns(
        "<|START_OF_TURN_TOKEN|>"
        + by_role("<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
        + f"{TRIM}<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "llama3": turns(
        f"<|start_header_id|>{ROLE}<|end_header_id|>\n\n{TRIM}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama4": turns(
        f"<|header_start|>{ROLE}<|header_end|>\n\n{TRIM}<|eot|>", "<|header_start|>assistant<|header_end|>\n\n"
    ),
    "chatglm3": turns(f"<|{ROLE}|>\n {TEXT}", "<|assistant|>", opening="[gMASK]sop"),
    "chatglm4": turns(f"<|{ROLE}|>\n{TEXT}", "<|assistant|>\n", opening="[gMASK]<sop>"),
    "glmedge": turns(f"<|{ROLE}|>\n{TEXT}", "<|assistant|>"),
    "minicpm": turns(by_role(TRIM, f"<用户>{TRIM}<AI>", TRIM)),
    "exaone3": turns(EXAONE.replace("{tool}", ""), "[|assistant|]"),
    "exaone4": turns(EXAONE.replace("{tool}", f"[|tool|]{TRIM}[|endofturn|]\n"), "[|assistant|]"),
    "exaone-moe": turns(f"<|{ROLE}|>\n{TRIM}<|endofturn|>\n", "<|assistant|>\n"),
    "rwkv-world": turns(
        by_role(
            f"System: {TRIM}\n\n",
            f"User: {TRIM}\n\n{{% if loop.last %}}Assistant:{{% endif %}}",
            f"Assistant: {TRIM}\n\n",
        )
    ),
    "granite": GRANITE,
    "granite-4.0": GRANITE,
    "granite-4.1": GRANITE,
    "gigachat": turns(
        by_role(
            f"{TEXT}<|message_sep|>",
            f"user<|role_sep|>{TEXT}<|message_sep|>available functions<|role_sep|>[]<|message_sep|>",
            f"assistant<|role_sep|>{TEXT}<|message_sep|>",
        ),
        "assistant<|role_sep|>",
        opening="<s>",
    ),
    "megrez": turns(f"<|role_start|>{ROLE}<|role_end|>{TEXT}<|turn_end|>", "<|role_start|>assistant<|role_end|>"),
    "yandex": turns(by_role("", f" Пользователь: {TEXT}\n\n", f" Ассистент: {TEXT}\n\n"), " Ассистент:[SEP]"),
    "bailing": turns(f"<role>{LOUD_ROLE}</role>{TEXT}", "<role>ASSISTANT</role>"),
    "bailing-think": turns(f"<role>{LOUD_ROLE}</role>{TEXT}", "<role>ASSISTANT</role><think>"),
    "bailing2": turns(
        f"<role>{LOUD_ROLE}</role>{TEXT}<|role_end|>",
        "<role>ASSISTANT</role>",
        opening=f"{OPEN_NO_SYSTEM}<role>SYSTEM</role>detailed thinking off<|role_end|>{{% endif %}}",
    ),
    "smolvlm": turns(
        by_role(f"{TEXT}\n\n", f"User: {TEXT}<end_of_utterance>\n", f"Assistant: {TEXT}<end_of_utterance>\n"),
        "Assistant:",
        opening="<|im_start|>",
    ),
    "dots1": turns(
        by_role(
            f"<|system|>{TEXT}<|endofsystem|>",
            f"<|userprompt|>{TEXT}<|endofuserprompt|>",
            f"<|response|>{TEXT}<|endofresponse|>",
        ),
        "<|response|>",
    ),
    "hunyuan-moe": turns(
        by_role(f"<|startoftext|>{TEXT}<|extra_4|>", f"<|startoftext|>{TEXT}<|extra_0|>", f"{TEXT}<|eos|>")
    ),
    "hunyuan-dense": turns(
        by_role(
            f"{TEXT}<｜hy_place▁holder▁no▁3｜>",
            f"<｜hy_User｜>{TEXT}<｜hy_Assistant｜>",
            f"<｜hy_Assistant｜>{TEXT}<｜hy_place▁holder▁no▁2｜>",
        )
    ),
    "hunyuan-vl": turns(
        by_role(f"{TEXT}<｜hy_place▁holder▁no▁3｜>", f"{TEXT}<｜hy_User｜>", f"{TEXT}<｜hy_Assistant｜>"),
        opening="<｜hy_begin▁of▁sentence｜>",
    ),
    "gpt-oss": turns(
        f"<|start|>{ROLE}<|message|>{TEXT}{{{{ '<|return|>' if message.role == 'assistant' else '<|end|>' }}}}",
        "<|start|>assistant",
    ),
    "kimi-k2": turns(
        by_role(
            "<|im_system|>system<|im_middle|>",
            "<|im_user|>user<|im_middle|>",
            "<|im_assistant|>assistant<|im_middle|>",
            "<|im_system|>tool<|im_middle|>",
        )
        + f"{TEXT}<|im_end|>",
        "<|im_assistant|>assistant<|im_middle|>",
    ),
    "seed_oss": turns(
        f"<seed:bos>{ROLE}\n{{% if message.role == 'assistant' %}}{TRIM}{{% else %}}{TEXT}{{% endif %}}<seed:eos>",
        "<seed:bos>assistant\n",
    ),
    "grok-2": turns(
        by_role(
            f"System: {TRIM}<|separator|>\n\n", f"Human: {TRIM}<|separator|>\n\n", f"Assistant: {TEXT}<|separator|>\n\n"
        ),
        "Assistant:",
    ),
    "pangu-embedded": turns(
        by_role("[unused9]系统：", "[unused9]用户：", "[unused9]助手：", "[unused9]工具：") + f"{TEXT}[unused10]",
        "[unused9]助手：",
        opening=f"{OPEN_NO_SYSTEM}[unused9]系统：[unused10]{{% endif %}}",
    ),
    "solar-open": turns(f"<|begin|>{ROLE}<|content|>{TEXT}<|end|>", "<|begin|>assistant"),
}

# Formats without an end token: the model goes on to write the next turn (tools/mtmd/mtmd-cli.cpp).
STOPS: Final[Mapping[str, tuple[str, ...]]] = {"vicuna": ("ASSISTANT:",), "deepseek": ("###",)}

# The first row whose marks all stand in a source names the template it resembles (llm_chat_detect_template).
RESEMBLANCES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("phi4", ("<|im_start|>", "<|im_sep|>")),
    ("smolvlm", ("<|im_start|>", "<end_of_utterance>")),
    ("chatml", ("<|im_start|>",)),
    ("mistral-v7", ("[INST]", "[SYSTEM_PROMPT]")),
    ("mistral-v1", ("' [INST] ' + system_message",)),
    ("mistral-v1", (" [INST]", "[AVAILABLE_TOOLS]")),
    ("mistral-v3-tekken", ('"[INST]"', "[AVAILABLE_TOOLS]")),
    ("mistral-v3", ("[INST]", "[AVAILABLE_TOOLS]")),
    ("llama2-sys-strip", ("[INST]", "content.strip()")),
    ("llama2-sys-bos", ("bos_token + '[INST]",)),
    ("llama2-sys", ("[INST]", "<<SYS>>")),
    ("llama2", ("[INST]",)),
    ("phi3", ("<|assistant|>", "<|end|>")),
    ("chatglm4", ("[gMASK]<sop>",)),
    ("exaone-moe", ("<|assistant|>", "<|user|>", "<|tool_declare|>")),
    ("falcon3", ("<|assistant|>", "<|user|>", "</s>")),
    ("glmedge", ("<|assistant|>", "<|user|>")),
    ("glmedge", ("<|{{ item['role'] }}|>", "<|begin_of_image|>")),
    ("zephyr", ("<|user|>", "<|endoftext|>")),
    ("monarch", ("bos_token + message['role']",)),
    ("gemma", ("<start_of_turn>",)),
    ("orion", (r"'\n\nAssistant: ' + eos_token",)),
    ("openchat", ("GPT4 Correct ",)),
    ("vicuna-orca", ("USER: ", "ASSISTANT: ", "SYSTEM: ")),
    ("vicuna", ("USER: ", "ASSISTANT: ")),
    ("deepseek", ("### Instruction:", "<|EOT|>")),
    ("command-r", ("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>")),
    ("llama3", ("<|start_header_id|>", "<|end_header_id|>")),
    ("chatglm3", ("[gMASK]sop",)),
    ("minicpm", ("<用户>",)),
    ("deepseek2", ("'Assistant: ' + message['content'] + eos_token",)),
    ("deepseek3", ("<｜Assistant｜>", "<｜User｜>", "<｜end▁of▁sentence｜>")),
    ("exaone4", ("[|system|]", "[|assistant|]", "[|endofturn|]", "[|tool|]")),
    ("exaone3", ("[|system|]", "[|assistant|]", "[|endofturn|]")),
    ("rwkv-world", ("rwkv-world",)),
    ("rwkv-world", (r"{{- 'User: ' + message['content']|trim + '\n\n' -}}",)),
    ("granite-4.0", ("<|start_of_role|>", "<tool_call>", "g4_default_system_message")),
    ("granite-4.0", ("<|start_of_role|>", "<tools>", "g4_default_system_message")),
    ("granite-4.1", ("<|start_of_role|>", "<tool_call>")),
    ("granite-4.1", ("<|start_of_role|>", "<tools>")),
    ("granite", ("<|start_of_role|>",)),
    (
        "gigachat",
        ("message['role'] + additional_special_tokens[0] + message['content'] + additional_special_tokens[1]",),
    ),
    ("megrez", ("<|role_start|>",)),
    ("yandex", (" Ассистент:",)),
    ("bailing", ("<role>ASSISTANT</role>", "'HUMAN'")),
    ("bailing-think", ("<role>ASSISTANT</role>", '"HUMAN"', "<think>")),
    ("bailing2", ("<role>ASSISTANT</role>", "<role>HUMAN</role>", "<|role_end|>")),
    ("llama4", ("<|header_start|>", "<|header_end|>")),
    ("dots1", ("<|endofuserprompt|>",)),
    ("hunyuan-moe", ("<|extra_0|>", "<|extra_4|>")),
    ("gpt-oss", ("<|start|>", "<|channel|>")),
    ("hunyuan-vl", ("<｜hy_Assistant｜>", "<｜hy_begin▁of▁sentence｜>")),
    ("hunyuan-dense", ("<｜hy_Assistant｜>", "<｜hy_place▁holder▁no▁3｜>")),
    ("kimi-k2", ("<|im_assistant|>assistant<|im_middle|>",)),
    ("seed_oss", ("<seed:bos>",)),
    ("grok-2", ("'Assistant: '  + message['content'] + '<|separator|>",)),
    ("pangu-embedded", ("[unused9]系统：[unused10]",)),
    ("solar-open", ("<|begin|>", "<|end|>", "<|content|>")),
)


def template_named_like(source: str) -> str | None:
    """The name of the template that a Jinja source resembles, None when there is none."""
    return next((name for name, marks in RESEMBLANCES if all(mark in source for mark in marks)), None)
