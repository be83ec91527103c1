"""The engine: two files loaded once, any number of questions answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mtmd_cli.errors import ContextFull, UsageError
from mtmd_cli.gguf import GGUFFile
from mtmd_cli.image.load import Alpha, load_image, to_rgb
from mtmd_cli.nn.cache import Cache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.pipeline.answer_stream import AnswerStream
from mtmd_cli.pipeline.chunks import Chunk, ImageChunk, TextChunk, build_chunks, place_markers
from mtmd_cli.pipeline.clock import Clock
from mtmd_cli.pipeline.encoder import Picture, cut_picture, encode
from mtmd_cli.pipeline.events import Event, Finished, Progress, Reason, TextPiece
from mtmd_cli.pipeline.flash import FlashChoice
from mtmd_cli.pipeline.packing import Packing
from mtmd_cli.pipeline.positions import image_positions, text_positions
from mtmd_cli.pipeline.prompt import render_prompt
from mtmd_cli.pipeline.sampler import Sampler, Sampling
from mtmd_cli.pipeline.trace import Trace
from mtmd_cli.text.template import ChatTemplate
from mtmd_cli.text.thoughts import Part, marks_of
from mtmd_cli.text.tokenizer import Tokenizer
from mtmd_cli.vision.loader import Vision

ImageSource = str | Path | bytes | Image.Image


class Engine:
    """A language model, perhaps with a vision tower; `load` makes one.

    Its parts are plain attributes, for whoever wants to look at them or to change a backend.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        tokenizer: Tokenizer,
        language_file: GGUFFile,
        vision: Vision | None,
        device: torch.device,
        vision_device: torch.device,
        dtype: torch.dtype,
        vision_dtype: torch.dtype,
        flash: FlashChoice,
        vision_flash: FlashChoice | None,
        packing: Packing | None = None,
        cache_types: tuple[CacheType, CacheType],
        context: int,
        batch: int,
        chat_template: str | None,
        jinja: bool,
    ) -> None:
        self.decoder, self.tokenizer, self.vision = decoder, tokenizer, vision
        self.language_file = language_file
        self.device, self.vision_device = device, vision_device
        self.dtype, self.vision_dtype = dtype, vision_dtype
        self.flash, self.vision_flash = flash, vision_flash
        self.packing = packing
        self.cache_types = cache_types
        self.context, self.batch = context, batch
        self._chat_template, self._jinja = chat_template, jinja

    @property
    def grid_positions(self) -> bool:
        """Whether positions count time, rows and columns (M-RoPE)."""
        ropes = (layer.mixer.rope for layer in self.decoder.spec.layers)
        return any(rope is not None and rope.sections for rope in ropes)

    def template(self) -> ChatTemplate:
        """The chat template that is in force. Raises UnsupportedModel when the file has none and none was named."""
        tokenizer = self.tokenizer

        def text_of(token: int | None) -> str:
            return "" if token is None else tokenizer.piece(token, special=True).decode(errors="replace")

        return ChatTemplate.from_metadata(
            self.language_file.metadata,
            self._chat_template,
            self._jinja,
            text_of(tokenizer.bos),
            text_of(tokenizer.eos),
            add_bos=tokenizer.add_bos,
            add_eos=tokenizer.add_eos,
        )

    def stream(
        self,
        prompt: str,
        images: Sequence[ImageSource] = (),
        *,
        system: str | None = None,
        chat: bool = True,
        sampling: Sampling | None = None,
        max_tokens: int = -1,
        ignore_eos: bool = False,
        alpha: Alpha = "drop",
        template_values: Mapping[str, Any] | None = None,
        trace: Trace | None = None,
    ) -> Iterator[Event]:
        """Answer a question: Progress and TextPiece as they come, Finished at the end.

        prompt: may say where images stand with `<__media__>`; without it they go first. images: paths, bytes of image
        files, or Pillow images. system: what the model is told before the prompt. chat: wrap both in the model's chat
        template; False sends the prompt as it is. sampling: None is `Sampling()`. max_tokens: -1 for as many as the
        context has room for. ignore_eos: go on where the model would end. alpha: "drop" shows the colours under
        transparent pixels, "white" and "black" are grounds. template_values: what the template knows besides, as in
        {"enable_thinking": False}. trace: collects tensors on the way.

        Every call begins anew, and whoever stops reading ends the answer. Raises MtmdError for what the caller can
        mend: at once where flags, markers or template do not fit, while reading where an image cannot be read or the
        prompt is longer than the context.
        """
        # Generators start late; what the caller did wrong is told before.
        if isinstance(images, (str, bytes, Path)):
            raise UsageError("images is one image, expected a list of them", hint=f"images=[{images!r:.40}]")
        if images and self.vision is None:
            raise UsageError("there are images, but no vision projector is loaded", hint="give its file with --mmproj")
        texts = [place_markers(prompt, len(images))]
        template = self.template() if chat else None
        if template is not None:
            texts = render_prompt(template, system, texts[0], template_values)
        elif system:
            raise UsageError("a raw prompt has no place for a system message", hint="write it into the prompt itself")
        sampler = self._sampler(sampling or Sampling(), ignore_eos=ignore_eos)
        marks = marks_of(template.source) if template is not None else None
        stream = AnswerStream(self.tokenizer, template.stops if template is not None else (), marks, texts[-1])
        return self._answer(texts, images, sampler, stream, max_tokens, alpha, trace)

    def _sampler(self, sampling: Sampling, *, ignore_eos: bool) -> Sampler:
        never = set(self.tokenizer.suppressed) | (set(self.tokenizer.eog) if ignore_eos else set())
        return Sampler(
            sampling,
            vocab_size=self.decoder.spec.vocabulary,
            never=never,
            piece=lambda token: self.tokenizer.piece(token, special=True),
            encode=lambda text: self.tokenizer.encode(text, parse_special=False),
        )

    @torch.inference_mode()
    def _answer(
        self,
        texts: Sequence[str],
        images: Sequence[ImageSource],
        sampler: Sampler,
        stream: AnswerStream,
        max_tokens: int,
        alpha: Alpha,
        trace: Trace | None,
    ) -> Iterator[Event]:
        clock = Clock(self.device)
        with clock.stage("preprocess"):
            pictures = [self._picture(source, alpha) for source in images]
            plans = [picture.plan for picture in pictures]
            chunks = build_chunks(texts, plans, self.vision, self.tokenizer, grid_positions=self.grid_positions)
        self._check_room(chunks)
        cache = self.decoder.new_cache(*self.cache_types)
        hidden = None
        yield Progress("reading", 0, len(chunks))
        for index, chunk in enumerate(chunks):
            hidden = self._read(index, chunk, pictures, cache, clock, trace)
            yield Progress("reading", index + 1, len(chunks))
        assert hidden is not None, "a prompt has at least one token"
        position = chunks[-1].pos_end

        limit = max_tokens if max_tokens >= 0 else self.context
        tokens, parts = list[int](), list[Part]()
        reason: Reason = "length"
        logits = self._logits(hidden, trace)
        while len(tokens) < limit:
            token = sampler.sample(logits)
            tokens.append(token)
            if token in self.tokenizer.eog:
                reason = "stop"
                break
            for part in stream.push(token):
                parts.append(part)
                yield TextPiece(part.text, token, part.reasoning)
            if stream.stopped:
                reason = "stop"
                break
            if cache.length >= self.context:
                reason = "context"
                break
            if len(tokens) == limit:
                break
            with clock.stage("decode"):
                hidden = self._decode([token], position, cache)
                logits = self._logits(hidden, trace)
            position += 1
        for part in stream.flush():
            parts.append(part)
            yield TextPiece(part.text, None, part.reasoning)
        timings = clock.timings(cache.length, len(tokens))
        thought, text = ("".join(part.text for part in parts if part.reasoning is kind) for kind in (True, False))
        yield Finished(reason, text, tuple(tokens), chunks, timings, thought.strip())

    def _picture(self, source: ImageSource, alpha: Alpha) -> Picture:
        assert self.vision is not None, "an image without a tower"
        image = to_rgb(source, alpha) if isinstance(source, Image.Image) else load_image(source, alpha=alpha)
        return cut_picture(image, self.vision)

    def _check_room(self, chunks: Sequence[Chunk]) -> None:
        tokens = sum(len(chunk.tokens) if isinstance(chunk, TextChunk) else chunk.n_tokens for chunk in chunks)
        if tokens == 0:
            raise UsageError("the prompt is empty", hint="ask something with -p")
        if tokens >= self.context:
            trained = self.decoder.spec.context
            hint = f"raise it with -c (the model was trained for {trained}), or shorten the prompt"
            if any(isinstance(chunk, ImageChunk) for chunk in chunks):
                hint += ", or give fewer or smaller images"
            raise ContextFull(f"the prompt has {tokens} tokens and the context {self.context}", hint=hint)

    def _read(
        self,
        index: int,
        chunk: Chunk,
        pictures: Sequence[Picture],
        cache: Cache,
        clock: Clock,
        trace: Trace | None,
    ) -> Tensor:
        """Put one chunk into the cache; the hidden state of its last token, (1, width)."""
        if isinstance(chunk, TextChunk):
            with clock.stage("prefill"):
                return self._decode(chunk.tokens, chunk.pos_0, cache)
        assert self.vision is not None, "an image without a tower"
        picture = pictures[chunk.image]
        slices = [picture.slices[number] for number in chunk.slices]
        with clock.stage("encode"):
            embeddings = encode(slices, picture.plan, self.vision, self.vision_device, self.vision_dtype)
            embeddings = embeddings.to(self.device)
        positions = image_positions(chunk, grid=self.grid_positions)
        if trace is not None:
            for number, pixels in enumerate(slices):
                trace.add(f"pixels.{index}.{number}.u8", pixels)
            trace.add(f"embd.{index}", embeddings.float())
            if self.grid_positions:
                trace.add(f"mrope_pos.{index}", positions.int())
        with clock.stage("prefill"):
            causal = self.vision.causal
            inputs = self.decoder.embed_image(embeddings)
            # What sees both ways must be read at once; what does not, in batches.
            step = self.batch if causal else chunk.n_tokens
            for start in range(0, chunk.n_tokens, step):
                rows = slice(start, start + step)
                hidden = self.decoder(inputs[rows], positions[rows].to(self.device), cache, causal=causal)
        return hidden[-1:]

    def _decode(self, tokens: Sequence[int], position: int, cache: Cache) -> Tensor:
        """Put text tokens into the cache, a batch at a time; the hidden state of the last, (1, width)."""
        for start in range(0, len(tokens), self.batch):
            part = torch.tensor(tokens[start : start + self.batch])
            positions = text_positions(position + start, len(part), grid=self.grid_positions)
            x = self.decoder.embed(part.to(self.device))
            hidden: Tensor = self.decoder(x, positions.to(self.device), cache)
        return hidden[-1:]

    def _logits(self, hidden: Tensor, trace: Trace | None) -> Tensor:
        logits = self.decoder.logits(hidden)[0]
        if trace is not None:
            trace.add_logits(logits)
        return logits
