"""Tokens: a small byte-level BPE, the chat format, and the markers around the slices of a picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROWS = COLUMNS = 2
SPECIAL = [
    "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, ROWS + 1) for column in range(1, COLUMNS + 1)),
]  # fmt: skip
END = "<end_of_utterance>"
TEMPLATE = (
    "<|im_start|>{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% else %}{{ (message['role'] | capitalize) + ': ' + message['content'] + '<end_of_utterance>\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
IMAGE = -1
GRIDS = {"square": (2, 2), "wide": (1, 2), "tall": (2, 1)}  # rows, columns


def train_tokenizer(lines: Iterable[str], size: int) -> Tokenizer:
    """Pre-tokenised as files with tokenizer.ggml.pre = smollm are: digits apart, then as GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


class Prompt:
    """Encodes conversations; `head` is all that stands before the first question's words."""

    def __init__(self, tokenizer: Tokenizer, tokens_per_slice: int) -> None:
        self.tokenizer = tokenizer
        self.per_slice = tokens_per_slice
        self.end = tokenizer.token_to_id(END)
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        if text not in self._known:
            if len(self._known) > 200_000:
                self._known.clear()
            self._known[text] = self.tokenizer.encode(text).ids
        return self._known[text]

    def head(self, shape: str) -> np.ndarray:
        """<|im_start|>User: , then tiles row by row, then the overview. IMAGE stands for a token of the picture."""
        rows, columns = GRIDS[shape]
        picture = [IMAGE] * self.per_slice
        ids = self.encode("<|im_start|>User: ")[:]
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                ids += self.encode(f"<fake_token_around_image><row_{row}_col_{column}>") + picture
            ids += self.encode("\n") if row < rows else []
        ids += self.encode("\n\n") + self.encode("<fake_token_around_image>") + self.encode("<global-img>") + picture
        return np.array(ids + self.encode("<fake_token_around_image>"))

    def question(self, text: str, first: bool) -> list[int]:
        """From the end of the last answer to the word Assistant."""
        before = "" if first else "\nUser: "
        return self.encode(f"{before}{text}{END}\nAssistant:")

    def answer(self, text: str) -> list[int]:
        """The words between quotation marks letter by letter, so that reading is spelling."""
        ids: list[int] = []
        for index, part in enumerate((" " + text).split('"')):
            if index % 2:
                ids += self.encode('"')
                for letter in part:
                    ids += self.encode(letter)
                ids += self.encode('"')
            elif part:
                ids += self.encode(part)
        return [*ids, self.end]

    def conversation(self, turns: list[tuple[str, str]], length: int) -> tuple[np.ndarray, np.ndarray]:
        """As many turns as fit: tokens and the mask of what is learned. Both (length,)."""
        ids = np.full(length, self.end)
        learned = np.zeros(length, bool)
        at = 0
        for question, answer in turns:
            q, a = self.question(question, at == 0), self.answer(answer)
            if at + len(q) + len(a) > length:
                break
            ids[at : at + len(q)] = q
            at += len(q)
            ids[at : at + len(a)] = a
            learned[at : at + len(a)] = True
            at += len(a)
        return ids, learned
