"""From a question and a system message to the texts that are tokenised one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtmd_cli.errors import MtmdError
from mtmd_cli.text.template import ChatTemplate, Message


def render_prompt(
    template: ChatTemplate, system: str | None, prompt: str, values: Mapping[str, Any] | None = None
) -> list[str]:
    """The conversation as the template writes it, in one text, or in two where the system message ends a turn.

    The conversation is always rendered as a whole, so no template can lose a word. Where it begins with the rendering
    of the system message alone, the reference reads that part by itself and repeats the newline at its end
    (common/chat.cpp, common_chat_format_single); so do we, to give the model the same tokens.
    values: what this template knows besides.
    """
    values = values or {}
    user: Message = {"role": "user", "content": prompt}
    if not system:
        return [template.render([user], **values)]
    messages: list[Message] = [{"role": "system", "content": system}, user]
    text = template.render(messages, **values)
    try:
        head = template.render(messages[:1], **{**values, "add_generation_prompt": False})
    except MtmdError:  # a template may refuse a conversation without a user
        return [text]
    if not head or not text.startswith(head):
        return [text]
    newline = "\n" if head.endswith("\n") else ""
    return [head, newline + text.removeprefix(head)]
