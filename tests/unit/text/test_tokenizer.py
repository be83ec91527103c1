"""The rules of each kind of tokenizer, on vocabularies of a few tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmd_cli.errors import GGUFError, MtmdError, UnsupportedModel
from mtmd_cli.gguf import Metadata
from mtmd_cli.text.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
Entry = tuple[str, int, float]
BYTES: list[Entry] = [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)]
LETTERS = [*map(chr, [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)])]


def tokenizer(model: str, entries: list[Entry], **keys: Any) -> Tokenizer:
    return Tokenizer.from_metadata(metadata(model, entries, **keys))


def metadata(model: str, entries: list[Entry], **keys: Any) -> Metadata:
    texts, types, scores = zip(*entries, strict=True)
    values: dict[str, Any] = {f"general.{key}": keys.pop(key) for key in ("name", "architecture") if key in keys}
    own = {"model": model, "tokens": texts, "token_type": types, "scores": scores, **keys}
    for key, value in own.items():
        if value is not None:
            values[f"tokenizer.ggml.{key}"] = tuple(value) if isinstance(value, list) else value
    return Metadata(values)


def texts(tokens: list[int], entries: list[Entry]) -> list[str]:
    return [entries[token][0] for token in tokens]


# SentencePiece: a space is ▁, and the pair that makes the best token goes first.
SPM: list[Entry] = [
    ("<unk>", UNKNOWN, 0.0),
    ("<s>", CONTROL, 0.0),
    ("</s>", CONTROL, 0.0),
    *BYTES,
    *((text, NORMAL, score) for text, score in [("▁a", -1), ("ab", -2), ("▁ab", -9), ("aa", -3), ("bc", -1.5)]),
    *((letter, NORMAL, -20.0) for letter in "▁abc"),
    ("<img>", USER_DEFINED, 0.0),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", ["▁a"]),
        ("ab", ["▁ab"]),  # ▁a is better than ab, and then joins with b
        ("cab", ["▁", "c", "ab"]),
        ("abc", ["▁a", "bc"]),  # bc is better than ▁ab
        ("caaa", ["▁", "c", "aa", "a"]),  # the leftmost of two equals
        (" a", ["▁", "▁a"]),  # a space of the text's own follows the prefix
        ("é", ["▁", "<0xC3>", "<0xA9>"]),  # no such token: its bytes
        ("a<img>b", ["▁a", "<img>", "▁", "b"]),  # the prefix comes again behind a special token
        ("<s>a</s>", ["<s>", "▁a", "</s>"]),
    ],
)
def test_spm(text: str, expected: list[str]) -> None:
    assert texts(tokenizer("llama", SPM).encode(text), SPM) == expected


def test_spm_without_space_prefix() -> None:
    assert texts(tokenizer("llama", SPM, add_space_prefix=False).encode("a"), SPM) == ["a"]


def test_spm_without_bytes_falls_back_to_unknown() -> None:
    entries = [entry for entry in SPM if entry[1] != BYTE]
    assert texts(tokenizer("llama", entries).encode("a😀"), entries) == ["▁a", "<unk>"]


def test_spm_joins_across_spaces_where_a_token_does() -> None:
    entries = [*SPM, ("▁▁", NORMAL, -0.5), ("b▁", NORMAL, -0.1)]
    assert texts(tokenizer("llama", entries).encode("b  a"), entries) == ["▁", "b▁", "▁a"]


def test_decode_takes_back_the_space_that_encode_added() -> None:
    spm = tokenizer("llama", SPM)
    assert [spm.decode(spm.encode(text)) for text in ("ab c", " ab", "é😀", "")] == ["ab c", " ab", "é😀", ""]


# Byte pairs: bytes are written as letters, neighbours go by their place in the list of merges.
BPE: list[Entry] = [
    *((letter, NORMAL, 0.0) for letter in LETTERS),
    *((text, NORMAL, 0.0) for text in ["he", "ll", "hell", "Ġhe", "Ċ", "lo", "xhe"] if text not in LETTERS),
    ("<|im_start|>", CONTROL, 0.0),
    ("<|im_end|>", CONTROL, 0.0),
    ("<b>", USER_DEFINED, 0.0),
    ("[gone]", UNUSED, 0.0),
]
MERGES = ["l l", "h e", "he ll", "Ġ he", "l o", "x he", "l l"]  # the last is there twice: its first place counts
QWEN: dict[str, Any] = {"merges": MERGES, "pre": "qwen2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hell", ["hell"]),
        ("hello", ["hell", "o"]),  # ll before lo
        ("a hello", ["a", "Ġ", "hell", "o"]),  # he and ll before Ġ and he
        ("xhe", ["xhe"]),  # a pair that is made by another
        ("é", ["Ã", "©"]),
        ("<|im_start|>he<|im_end|>", ["<|im_start|>", "he", "<|im_end|>"]),
        ("<b>he", ["<b>", "he"]),
    ],
)
def test_bpe(text: str, expected: list[str]) -> None:
    assert texts(tokenizer("gpt2", BPE, **QWEN).encode(text), BPE) == expected


def test_control_tokens_are_text_unless_parsed() -> None:
    bpe = tokenizer("gpt2", BPE, **QWEN)
    assert "<|im_end|>" not in texts(bpe.encode("<|im_end|>", parse_special=False), BPE)
    assert texts(bpe.encode("<b>", parse_special=False), BPE) == ["<b>"]  # what users defined is always found


def test_longest_special_token_goes_first() -> None:
    entries = [*BPE, ("<b><b>", CONTROL, 0.0)]
    assert texts(tokenizer("gpt2", entries, **QWEN).encode("<b><b><b>"), entries) == ["<b><b>", "<b>"]


def test_ignore_merges_takes_whole_words() -> None:
    entries = [*BPE, ("hello", NORMAL, 0.0)]
    whole = tokenizer("gpt2", entries, merges=MERGES, pre="llama-bpe")
    merged = tokenizer("gpt2", entries, merges=MERGES, pre="qwen2")
    assert [texts(kind.encode("hello"), entries) for kind in (whole, merged)] == [["hello"], ["hell", "o"]]


def test_a_merge_to_no_token_leaves_what_is_known() -> None:
    assert texts(tokenizer("gpt2", BPE, merges=["x y"], pre="qwen2").encode("xy"), BPE) == ["x", "y"]


@settings(deadline=None)
@given(st.text())
def test_byte_pairs_lose_nothing(text: str) -> None:
    bpe = tokenizer("gpt2", BPE, **QWEN)
    assert bpe.decode(bpe.encode(text, parse_special=False)) == text


def test_what_is_no_character_becomes_a_replacement() -> None:
    bpe = tokenizer("gpt2", BPE, **QWEN)
    assert bpe.decode(bpe.encode("a\udcffb")) == "a\ufffdb"


# Gemma 4: byte pairs over characters, spaces as ▁, bytes where a character is no token.
GEMMA4: list[Entry] = [
    ("<pad>", CONTROL, 0.0),
    ("<eos>", CONTROL, 0.0),
    ("<bos>", CONTROL, 0.0),
    *BYTES,
    *((text, NORMAL, 0.0) for text in ["▁", "a", "b", "▁a", "ab", "\n", "\n\n", "\n\n\n"]),
]
GEMMA4_KEYS: dict[str, Any] = {"merges": ["a b", "▁ a", "\n \n"], "bos_token_id": 2, "eos_token_id": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),  # no space in front
        ("a a", ["a", "▁a"]),
        (" ab", ["▁", "ab"]),
        ("é", ["<0xC3>", "<0xA9>"]),
        ("a\n\n\nb", ["a", "\n\n\n", "b"]),  # a token, though no merge makes it
        ("\n\n\n\n", ["\n\n", "\n\n"]),  # not a token: by merges
    ],
)
def test_gemma4(text: str, expected: list[str]) -> None:
    gemma4 = tokenizer("gemma4", GEMMA4, **GEMMA4_KEYS)
    assert texts(gemma4.encode(text), GEMMA4) == expected
    assert gemma4.decode(gemma4.encode(text)) == text


def test_gemma4_merges_across_spaces_where_the_list_does() -> None:
    entries = [*GEMMA4, ("b▁", NORMAL, 0.0)]
    assert texts(tokenizer("gemma4", entries, merges=["b ▁", "▁ a"]).encode("b a"), entries) == ["b▁", "a"]


def test_gemma4_begins_with_bos_whatever_the_file_says() -> None:
    assert tokenizer("gemma4", GEMMA4, **GEMMA4_KEYS, add_bos_token=False).encode("a", add_special=True)[0] == 2


def test_mmbert_begins_each_line_with_a_space() -> None:
    entries = [*GEMMA4, ("▁b", NORMAL, 0.0)]
    mmbert = tokenizer("gpt2", entries, merges=["▁ a", "▁ b"], pre="mmbert")
    assert texts(mmbert.encode("a\nb b"), entries) == ["▁a", "\n", "▁b", "▁b"]


# WordPiece: words in the longest tokens from the left, all or nothing.
BERT: list[Entry] = [
    *((text, CONTROL, 0.0) for text in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]),
    *((text, NORMAL, 0.0) for text in ["▁un", "▁unhappy", "happ", "y", "ily", "▁,", "▁中", "▁cafe", "▁Un"]),
]
BERT_KEYS: dict[str, Any] = {
    "bos_token_id": 2,
    "seperator_token_id": 3,
    "unknown_token_id": 1,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unhappy", ["▁unhappy"]),
        ("unhappily", ["▁un", "happ", "ily"]),
        ("unhappyx un", ["[UNK]", "▁un"]),
        ("un,un", ["▁un", "▁,", "▁un"]),
        ("中un", ["▁中", "▁un"]),
        ("Un", ["▁un"]),
        ("Café\u200b\n", ["▁cafe"]),
        ("", []),
    ],
)
def test_wordpiece(text: str, expected: list[str]) -> None:
    assert texts(tokenizer("bert", BERT, **BERT_KEYS).encode(text), BERT) == expected


def test_wordpiece_in_case() -> None:
    cased = tokenizer("bert", BERT, **BERT_KEYS, **{"normalizer.lowercase": False})
    assert texts(cased.encode("Un Café", add_special=True), BERT) == ["[CLS]", "▁Un", "[UNK]", "[SEP]"]
    assert cased.decode(cased.encode("un, un")) == " un , un"


# What begins and ends a text.
@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        ("llama", {}, ["<s>", "▁a"]),
        ("llama", {"add_bos_token": False}, ["▁a"]),
        ("llama", {"add_eos_token": True}, ["<s>", "▁a", "</s>"]),
        ("llama", {"add_eos_token": True, "eos_token_id": 0}, ["<s>", "▁a", "<unk>"]),
    ],
)
def test_special_tokens_are_added_as_the_file_says(model: str, keys: dict[str, Any], expected: list[str]) -> None:
    assert texts(tokenizer(model, SPM, **keys).encode("a", add_special=True), SPM) == expected


@pytest.mark.parametrize(
    ("pre", "add_bos"), [("llama-bpe", True), ("qwen2", False), ("tekken", True), ("gpt-2", False)]
)
def test_bos_of_byte_pairs_by_name(pre: str, add_bos: bool) -> None:
    assert tokenizer("gpt2", BPE, merges=MERGES, pre=pre, bos_token_id=0).add_bos == add_bos
    assert not tokenizer("gpt2", BPE, merges=MERGES, pre=pre).add_bos  # there is none to add


def named(names: str) -> list[Entry]:
    return [*BPE, *((name, NORMAL, 0.0) for name in names.split())]


@pytest.mark.parametrize(
    ("names", "keys", "ends"),
    [
        ("", {}, ""),
        ("", {"eos_token_id": 0}, "!"),
        ("", {"eot_token_id": 1, "eom_token_id": 2}, '" #'),
        ("</s> <end_of_turn> <end_of_utterance>", {}, "</s> <end_of_turn> <end_of_utterance>"),
        ("<|fim_pad|> <|repo_name|> <|file_sep|>", {}, "<|fim_pad|> <|repo_name|> <|file_sep|>"),
        ("<PAD> <|fim_pad|>", {"fim_pad_token_id": 0}, "!"),  # texts do not count where the file names a token
        ("<|fim_prefix|> <|fim_suffix|> <|fim_middle|>", {}, ""),
        ("<|end|>", {}, "<|end|>"),
        ("<|end|> <|return|> <|call|>", {}, "<|return|> <|call|>"),  # gpt-oss
        ("<|end|> <|flush|> <|calls|>", {}, "<|flush|> <|calls|>"),  # Solar
        ("<|tool_response> </s>", {}, "<|tool_response>"),  # Gemma 4
    ],
)
def test_tokens_that_end_an_answer(names: str, keys: dict[str, Any], ends: str) -> None:
    entries = named(names)
    eog = texts(sorted(tokenizer("gpt2", entries, **QWEN, **keys).eog), entries)
    assert set(eog) == {"<|im_end|>", *ends.split()}


def test_tokens_that_end_an_answer_are_control_tokens() -> None:
    entries = named("<|eot_id|> <|channel|>")
    bpe = tokenizer("gpt2", entries, **QWEN)
    assert bpe.piece(len(entries) - 2) == b""
    assert bpe.piece(len(entries) - 1) == b"<|channel|>"


def test_suppressed_tokens() -> None:
    assert tokenizer("gpt2", BPE, **QWEN, suppress_tokens=[1, 5, 10**6, -1]).suppressed == {1, 5}


# Bytes of tokens.
@pytest.mark.parametrize(
    ("text", "plain", "special"),
    [
        ("Ġhe", b" he", b" he"),
        ("Ċ", b"\n", b"\n"),
        ("Ã", b"\xc3", b"\xc3"),  # half a character
        ("<|im_end|>", b"", b"<|im_end|>"),
        ("<b>", b"<b>", b"<b>"),
        ("[gone]", b"", b""),
    ],
)
def test_pieces(text: str, plain: bytes, special: bytes) -> None:
    bpe = tokenizer("gpt2", BPE, **QWEN)
    token = bpe.token(text)
    assert token is not None
    assert (bpe.piece(token), bpe.piece(token, special=True)) == (plain, special)


@pytest.mark.parametrize(
    ("text", "plain"), [("▁ab", b" ab"), ("<0xC3>", b"\xc3"), ("<s>", b""), ("<unk>", b""), ("<img>", b"<img>")]
)
def test_pieces_of_spm(text: str, plain: bytes) -> None:
    spm = tokenizer("llama", SPM)
    token = spm.token(text)
    assert token is not None and spm.piece(token) == plain


# White space that special tokens swallow.
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["<s>", "▁", "▁", "▁a"]),
        ({"name": "Phi-3 mini"}, ["<s>", "▁", "▁", "▁a"]),  # the exception to the rule of the next row
        ({"name": "Phi-3 mini", "text": "<img> \n a"}, ["<img>", "▁a"]),
    ],
)
def test_white_space_behind_special_tokens(keys: dict[str, Any], expected: list[str]) -> None:
    text = keys.pop("text", "<s>  a")
    assert texts(tokenizer("llama", SPM, **keys).encode(text), SPM) == expected


def test_mask_swallows_the_space_before_it() -> None:
    entries = [*BPE, ("<mask>", CONTROL, 0.0)]
    jina = tokenizer("gpt2", entries, merges=MERGES, pre="jina-v2-de")
    assert texts(jina.encode("he <mask>"), entries) == ["he", "<mask>"]


# Files that are not what they should be.
@pytest.mark.parametrize(
    ("model", "entries", "keys", "kind", "message"),
    [
        ("gpt3", BPE, QWEN, UnsupportedModel, "'gpt3' is unknown"),
        ("gpt2", BPE, {"merges": MERGES, "pre": "nope"}, UnsupportedModel, "'nope' is unknown"),
        ("gpt2", BPE, {"pre": "qwen2"}, GGUFError, "merges is missing"),
        ("gpt2", BPE, {"pre": "qwen2", "merges": [1, 2]}, GGUFError, "merges is an array"),
        ("gpt2", BPE, {**QWEN, "tokens": None}, GGUFError, "tokens is missing"),
        ("gpt2", BPE, {**QWEN, "token_type": [1, 1]}, GGUFError, "token_type has 2 values"),
        ("llama", SPM, {"scores": [0.5]}, GGUFError, "scores has 1 values"),
        ("llama", SPM, {"scores": "high"}, GGUFError, "scores is a string"),
        ("llama", [*SPM, ("▁a", NORMAL, 0.0)], {}, GGUFError, "'▁a' is there twice"),
        ("llama", [*SPM, ("<0x>", BYTE, 0.0)], {}, GGUFError, "its text is '<0x>'"),
        ("llama", SPM, {"eos_token_id": len(SPM)}, GGUFError, f"eos_token_id is {len(SPM)}"),
        ("llama", SPM, {"bos_token_id": -1}, GGUFError, "bos_token_id is -1"),
    ],
)
def test_damaged_vocabularies(
    model: str, entries: list[Entry], keys: dict[str, Any], kind: type[MtmdError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        tokenizer(model, entries, **keys)
    assert caught.value.hint


def test_tokens_without_text_have_a_name() -> None:
    entries = [*SPM, ("", NORMAL, -1.0)]
    assert tokenizer("llama", entries).token(f"[EMPTY_{len(SPM)}]") == len(SPM)


def test_small_vocabularies_have_no_default_ids_beyond_them() -> None:
    assert tokenizer("llama", [("a", NORMAL, 0.0)]).bos is None
