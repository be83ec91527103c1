r"""How byte-pair tokenizers cut text into words before merging: llama.cpp's table, by the name in tokenizer.ggml.pre.

The patterns are those of src/llama-vocab.cpp (b11434) and mean what its engines make of them. To its engine every
letter beyond ASCII is of both cases: where a model's own pattern has \p{Lu}, only A-Z is upper case here, as there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtmd_cli.errors import UnsupportedModel


@dataclass(frozen=True)
class PreTokenizer:
    """Each pattern in turn cuts every word so far into its matches and the stretches between them."""

    patterns: tuple[str, ...]
    ignore_merges: bool = False  # a word that is a token becomes that token, whatever the merges say
    add_bos: bool = False  # when the file does not say
    always_bos: bool = False  # whatever the file says
    byte_level: bool = True  # words are written in GPT-2's letters for bytes; else in characters, with byte fallback
    escape_spaces: bool = False  # a space is written as U+2581
    prefix_lines: bool = False  # every line begins with a U+2581
    whole_newlines: bool = False  # a run of newlines that is a token becomes that token


def pre_tokenizer(name: str) -> PreTokenizer:
    """The entry for tokenizer.ggml.pre; raises UnsupportedModel for a name that is not in the table."""
    if name not in PRE_TOKENIZERS:
        raise UnsupportedModel(
            f"tokenizer.ggml.pre: the pre-tokenizer {name!r} is unknown",
            hint=f"known pre-tokenizers: {', '.join(sorted(PRE_TOKENIZERS))}",
        )
    return PRE_TOKENIZERS[name]


def _either(*alternatives: str) -> str:
    return "|".join(alternatives)


_CONTRACTION = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKED_WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+"
_NEWLINES = r"\s*[\r\n]+"
_SPACES = r"\s+(?!\S)|\s+"
_THREE_DIGITS = r"\p{N}{1,3}"

_GPT2 = _either(r"'(?:[stmd]|re|ve|ll)", r" ?\p{L}+", r" ?\p{N}+", _SIGNS, _SPACES)
_LLAMA3 = _either(_CONTRACTION, _WORD, _THREE_DIGITS, _SIGNS + r"[\r\n]*", _NEWLINES, _SPACES)
_QWEN2 = _either(_CONTRACTION, _WORD, r"\p{N}", _SIGNS + r"[\r\n]*", _NEWLINES, _SPACES)
_QWEN35 = _either(_CONTRACTION, _MARKED_WORD, r"\p{N}", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _NEWLINES, _SPACES)

_DEEPSEEK_WORD = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
_DEEPSEEK3 = _either(_DEEPSEEK_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", _NEWLINES, _SPACES)
_CJK_TO_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CJK_TO_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff&&\\S]+"
_COMMAS_AND_STOPS = ".,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c"
_BLOOM = rf" ?[^(\s|{_COMMAS_AND_STOPS})]+"
_DEEPSEEK_SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001\u3002]+"
# Letters with case, as the DeepSeek LLM tokenizer lists them.
_DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc"
    "\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
    "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f"
    "\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)


def _cased_words(letter: str, tail: str = "") -> str:
    """Words in which a lower-case letter is not followed by an upper-case one, with what may hang on them."""
    lead, upper, lower = r"[^\r\n\p{L}\p{N}]?", f"[{letter}&&[^a-z]]", f"[{letter}&&[^A-Z]]"
    return _either(f"{lead}{upper}*{lower}+{tail}", f"{lead}{upper}+{lower}*{tail}")


_SLASHED_SIGNS = _either(_SIGNS + r"[\r\n/]*", _NEWLINES, _SPACES)
_GPT4O = _either(_cased_words(r"\p{L}", f"(?:{_CONTRACTION})?"), _THREE_DIGITS, _SLASHED_SIGNS)
_GRANITE = _either(_cased_words(r"\p{L}\p{M}", f"(?:{_CONTRACTION})?"), _THREE_DIGITS, _SLASHED_SIGNS)
_TEKKEN = _either(_cased_words(r"\p{L}"), r"\p{N}", _SLASHED_SIGNS)
_TINY_AYA = _either(f"{_MARKED_WORD}(?:{_CONTRACTION})?", _THREE_DIGITS, _SLASHED_SIGNS)
_YOUTU = _either(f"{_MARKED_WORD}(?:{_CONTRACTION})?", r"\p{N}", _SLASHED_SIGNS)
_YOUTU_SCRIPTS = _either(
    "[\uac00-\ud7a3\u3131-\u318e]+",
    "[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+",
    "[\u3105-\u312f]+",
    _CJK_TO_KANA,
)
_EXAONE_WORD = r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+"
_HAN = "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ebef\uf900-\ufaff\U0002f800-\U0002fa1f"
_KIMI = _either(
    f"[{_HAN}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}&&[^{_HAN}]]+(?:{_CONTRACTION})?",
    _THREE_DIGITS,
    _SIGNS + r"[\r\n]*",
    _NEWLINES,
    _SPACES,
)
# A number is cut in threes from its end. What stands before it stays with its first digits, as in llama.cpp. Two steps,
# since one pattern would look through the whole text from each of its characters.
_BEHIND_NUMBERS = r"(?<=\p{N})(?=\P{N})"
_THREES_FROM_THE_END = r"\A\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*\z)|\p{N}{3}"
_ASIAN_SCRIPTS = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
    "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
)

_JAIS2_SPACES = "|".join([rf"\s{{{1 << power}}}(?!\S)" for power in range(9, 1, -1)] + [r"\s{1,2}(?!\S)", r"\s"])

_RAW = PreTokenizer((r"[^\n]+|\n+",), byte_level=False, escape_spaces=True)
_GEMMA4 = replace(_RAW, always_bos=True, whole_newlines=True)
_MMBERT = replace(_RAW, patterns=(r"▁[^▁\n]*|\n+",), prefix_lines=True, whole_newlines=True)

_TABLE = {
    "default": PreTokenizer((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9]{3}")),
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano": PreTokenizer(
        (_LLAMA3,), ignore_merges=True, add_bos=True
    ),
    "glm4 glm5": PreTokenizer((_LLAMA3,), ignore_merges=True),
    "chatglm-bpe dbrx smaug-bpe": PreTokenizer((_LLAMA3,)),
    "jais-2": PreTokenizer(
        (_either(_CONTRACTION, _WORD, _THREE_DIGITS, _SIGNS + r"[\r\n]*", _NEWLINES, _JAIS2_SPACES),)
    ),
    "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 bailingmoe bailingmoe2"
    " llada-moe": PreTokenizer((_QWEN2,)),
    "qwen35": PreTokenizer((_QWEN35,)),
    "ufakzeka": PreTokenizer((_either(_WORD, r"\p{N}", _SIGNS + r"[\r\n]*", _NEWLINES, _SPACES),)),
    "laguna": PreTokenizer((r"[^\n]+|\n+", _QWEN2)),
    "seed-coder": PreTokenizer(
        (_either(_CONTRACTION, _WORD, r"\p{N}", r" ?[^\s\p{L}\p{N}\r\n]+", _NEWLINES, _SPACES),)
    ),
    "exaone-moe": PreTokenizer(
        (_either(_CONTRACTION, _EXAONE_WORD, r"\p{N}", _SIGNS + r"[\r\n/]?", _NEWLINES, _SPACES),)
    ),
    "minicpm5": PreTokenizer(
        (_THREE_DIGITS, _either(_CONTRACTION, _WORD, r"\p{N}+", _SIGNS + r"[\r\n]*", _NEWLINES, _SPACES)),
        ignore_merges=True,
    ),
    "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en jina-v2-code"
    " roberta-bpe mpt olmo jais exaone4 trillion granite-docling": PreTokenizer((_GPT2,)),
    "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2": PreTokenizer((r"\p{N}", _GPT2)),
    "falcon": PreTokenizer((r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9]{3}")),
    "chameleon": PreTokenizer(
        ("<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", _GPT2),
        add_bos=True,
    ),
    "poro-chat bloom gpt3-finnish": PreTokenizer((_BLOOM,)),
    "viking": PreTokenizer((_BLOOM, r"\p{N}")),
    "superbpe": PreTokenizer((r"\p{N}+", r"(?=(?:[0-9]{3})+(?![0-9]))")),
    "deepseek-llm": PreTokenizer(
        (r"[\r\n]", rf"\s?[{_DEEPSEEK_LETTERS}]+", _DEEPSEEK_SIGNS, r"\s+\z", _CJK_TO_HANGUL, r"\p{N}+")
    ),
    "deepseek-coder": PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_TO_HANGUL, r"\p{N}")),
    "deepseek-v3 hunyuan-dense joyai-llm hy_v4": PreTokenizer((_THREE_DIGITS, _CJK_TO_KANA, _DEEPSEEK3)),
    "spark2_5": PreTokenizer(
        (_THREE_DIGITS, _CJK_TO_KANA, _either(_DEEPSEEK_WORD, r" ?[\p{P}\p{S}]+", r"[\r\n]", _SPACES), r"\p{N}")
    ),
    "youtu": PreTokenizer((_YOUTU_SCRIPTS, _YOUTU), ignore_merges=True),
    "tekken": PreTokenizer((_TEKKEN,), ignore_merges=True, add_bos=True),
    "gpt-4o llama4 kanana2 talkie minimax-m2": PreTokenizer((_GPT4O,)),
    "granite-embed-multi-97m": PreTokenizer((_GRANITE,), ignore_merges=True),
    "tiny_aya cohere2moe": PreTokenizer((_BEHIND_NUMBERS, _THREES_FROM_THE_END, _TINY_AYA)),
    "afmoe": PreTokenizer((_BEHIND_NUMBERS, _THREES_FROM_THE_END, _ASIAN_SCRIPTS, _DEEPSEEK3)),
    "kimi-k2": PreTokenizer((_KIMI,)),
    "gemma4 granite-embed-multi-311m": _GEMMA4,
    "mmbert": _MMBERT,
    "sarvam-moe": _RAW,
    "whitespace": PreTokenizer((r"\S+",), byte_level=False),
}
PRE_TOKENIZERS = {name: entry for names, entry in _TABLE.items() for name in names.split()}
