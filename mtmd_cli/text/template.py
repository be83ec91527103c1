"""Chat templates: from messages to the one text that the model was trained to see."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Final, TypedDict

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from mtmd_cli.errors import UnsupportedModel, UsageError
from mtmd_cli.text.named_templates import NAMED_TEMPLATES, STOPS, template_named_like
from mtmd_cli.text.sandbox import CHARACTERS, Meter, TemplateRefusal, TemplateTooCostly, compile_template, run_template

WAY_OUT: Final = "name a template with --chat-template NAME, or send the prompt as it is with --no-chat-template"
PASSES: Final = 64  # how often a template may copy the user's text


class Message(TypedDict):
    """One turn. Media markers stand in the text of `content`."""

    role: str
    content: str


class ChatTemplate:
    """A Jinja program that writes a conversation as the model expects it.

    `bos` and `eos` are the texts of those tokens. With `add_bos` (`add_eos`) the tokenizer puts the token there itself,
    so that the rendered text leaves it out. `stops` are texts that end an answer, for formats without an end token.
    Raises UnsupportedModel when the source is not a template.
    """

    def __init__(
        self,
        source: str,
        *,
        bos: str = "",
        eos: str = "",
        add_bos: bool = False,
        add_eos: bool = False,
        stops: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.bos = bos
        self.eos = eos
        self.add_bos = add_bos
        self.add_eos = add_eos
        self.stops = tuple(stops)
        try:
            self._code = compile_template(source)
        except TemplateError as error:
            line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
            raise UnsupportedModel(f"the chat template cannot be read: {line}{error.message}", hint=WAY_OUT) from None

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, object],
        override: str | None = None,
        jinja: bool = True,
        bos: str = "",
        eos: str = "",
        *,
        add_bos: bool = False,
        add_eos: bool = False,
    ) -> ChatTemplate:
        """The template of a file, or `override`: a name of ours or the source of a template.

        Without `jinja` a source only serves to find the named template that it resembles.
        """
        source = override or _own_source(metadata)
        stops: Sequence[str] = ()
        if source in NAMED_TEMPLATES:
            source, stops = NAMED_TEMPLATES[source], STOPS.get(source, ())
        elif override and "{" not in override:
            raise UsageError(f"no chat template is named {override!r}", hint=_names_like(override))
        elif not jinja:
            source = NAMED_TEMPLATES[_resembled(source)]
        try:
            return cls(source, bos=bos, eos=eos, add_bos=add_bos, add_eos=add_eos, stops=stops)
        except UnsupportedModel as error:
            if override:
                raise UsageError(error.message, hint="correct the source, or give the name of a template") from None
            raise

    def render(self, messages: Sequence[Message], /, *, add_generation_prompt: bool = True, **kwargs: Any) -> str:
        """The whole conversation as one text; `kwargs` are what this template knows besides (`enable_thinking`).

        Raises UsageError with the template's own words when it refuses the conversation.
        """
        try:
            text = self._run(self._suited(messages), {"add_generation_prompt": add_generation_prompt, **kwargs})
        except TemplateRefusal as error:
            raise UsageError(f"the chat template refuses this conversation: {error.message}", hint=WAY_OUT) from None
        except TemplateError as error:
            raise UnsupportedModel(f"the chat template fails: {error.message}", hint=WAY_OUT) from None
        if self.add_bos:
            text = text.removeprefix(self.bos)
        return text.removesuffix(self.eos) if self.add_eos else text

    def _suited(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = [dict(message) for message in messages]
        if len(turns) > 1 and turns[0]["role"] == "system" and not self._knows_system:
            system = turns.pop(0)
            turns[0]["content"] = f"{system['content']}\n{turns[0]['content']}"
        return [_in_parts(turn) for turn in turns] if self._wants_parts else turns

    @cached_property
    def _wants_parts(self) -> bool:
        """Whether text reaches the output only as a list of parts (common/jinja/caps.cpp)."""
        turn = {"role": "user", "content": "<probe>"}
        return not self._shows("<probe>", [turn]) and self._shows("<probe>", [_in_parts(turn)])

    @cached_property
    def _knows_system(self) -> bool:
        """Whether a system message reaches the output; otherwise it goes in front of the user's words."""
        turns = [{"role": "system", "content": "<probe>"}, {"role": "user", "content": "hello"}]
        return self._shows("<probe>", [_in_parts(turn) for turn in turns] if self._wants_parts else turns)

    def _shows(self, text: str, turns: Sequence[Mapping[str, Any]]) -> bool:
        try:
            return text in self._run(turns, {"add_generation_prompt": True})
        except TemplateTooCostly:
            raise  # once is enough
        except TemplateError:
            return False

    def _run(self, turns: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
        today = date.today()
        values = {
            "bos_token": self.bos,
            "eos_token": self.eos,
            "enable_thinking": True,
            "date_string": today.strftime("%d %b %Y"),
            "datetime": today.strftime("%b %d %Y"),
            **settings,
            "messages": turns,
        }
        meter = Meter(CHARACTERS + PASSES * sum(len(str(turn["content"])) for turn in turns))
        return run_template(self._code, meter, values)


def named_template(name: str, *, bos: str = "", eos: str = "") -> ChatTemplate:
    """The template that we know under this name."""
    return ChatTemplate.from_metadata({}, name, bos=bos, eos=eos)


def _in_parts(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {**turn, "content": [{"type": "text", "text": turn["content"]}]}


def _own_source(metadata: Mapping[str, object]) -> str:
    source = metadata.get("tokenizer.chat_template")
    if isinstance(source, str) and source:
        return source
    # Mistral Small 3.1 is the one well-known model whose files go without (src/llama-model.cpp).
    architecture = metadata.get("general.architecture")
    if metadata.get("tokenizer.ggml.pre") == "tekken" and metadata.get(f"{architecture}.block_count") == 40:
        return "mistral-v7-tekken"
    raise UnsupportedModel(
        "the model file has no chat template",
        hint="old LLaVA models want --chat-template vicuna, MobileVLM deepseek, Mistral Small mistral-v7; "
        "or send the prompt as it is with --no-chat-template",
    )


def _resembled(source: str) -> str:
    name = template_named_like(source)
    if name is None:
        raise UnsupportedModel(
            "no named chat template resembles the template of this model",
            hint="leave out --no-jinja, or name one with --chat-template NAME",
        )
    return name


def _names_like(name: str) -> str:
    near = difflib.get_close_matches(name, NAMED_TEMPLATES, n=3, cutoff=0.4)
    return f"near names: {', '.join(near)}" if near else f"known names: {', '.join(sorted(NAMED_TEMPLATES))}"
