"""Train the pair from nothing on endless scenes.

    python -m models.recipe.train PACK PHOTOS TOKENIZER OUT --until SECONDS [--total SECONDS]
    torchrun --nproc-per-node 2 -m models.recipe.train …

The schedule counts seconds of training: `--total` in all, of which this run goes up to `--until`, on from OUT/state.pt
where that is there. OUT/weights.pt is what `export` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from models.recipe import tasks, things
from models.recipe.model import Model, Shape
from models.recipe.muon import Muon
from models.recipe.paint import Paints, paint, smooth_noise, spoil
from models.recipe.prompt import GRIDS, Prompt
from models.recipe.scenes import GROUND, Assets, arrays, classes_of, random_aspect, random_scene

LENGTH = 112  # tokens of conversation behind a picture
RATE, ADAM_RATE = 0.02, 1.5e-3
WARM = 100  # steps
STEADY = 0.4  # share of the schedule at the full rate
DENSE_UNTIL = 0.7


class Conversations(torch.utils.data.IterableDataset):
    """Endless batches: arrays for `paint`, tokens and what of them is learned."""

    def __init__(self, assets: Assets, prompt: Prompt, batch: int, seed: int) -> None:
        self.assets, self.prompt, self.batch, self.seed = assets, prompt, batch, seed
        self.classes = classes_of(assets)

    def __iter__(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        worker = torch.utils.data.get_worker_info()
        rng = Random(self.seed * 1000 + (worker.id if worker else 0))
        while True:
            shape = rng.choices(tuple(GRIDS), (70, 15, 15))[0]
            # Pictures of two tiles come in larger batches, so that the tower always sees as many slices.
            batch = self.batch if shape == "square" else self.batch * 5 // 3
            scenes = [random_scene(rng, self.assets, random_aspect(rng, shape)) for _ in range(batch)]
            talks = [self.prompt.conversation(tasks.turns(scene, rng, self.assets, 5), LENGTH) for scene in scenes]
            out = arrays(scenes, self.assets, self.classes)
            out["tokens"], out["learned"] = (np.stack(part) for part in zip(*talks))
            yield shape, {key: torch.from_numpy(value) for key, value in out.items()}


class Painter:
    """Batches of arrays to slices as the package cuts them, and dense labels."""

    def __init__(self, paints: Paints, shape: Shape, device: str, seed: int) -> None:
        self.paints, self.shape, self.device = paints, shape, device
        self.generator = torch.Generator(device).manual_seed(seed)

    @torch.no_grad()
    def __call__(self, grid: tuple[int, int], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(b, slices, 3, tile, tile) of -1 to 1; labels (b, image tokens, 16): what lies at 16 points of each token."""
        tile = self.shape.tile
        rows, columns = grid[0] * tile, grid[1] * tile
        blobs = smooth_noise(len(batch["size"]), rows, columns, self.device, self.generator)
        x, label = paint(batch, self.paints, blobs, rows, columns, tile // self.shape.side // 4)
        x = spoil(x, batch["ground"][:, GROUND.index("grain")], self.generator)
        overview = F.interpolate(x, (tile, tile), mode="bicubic", antialias=True)
        overview = (overview.clamp(0, 1) * 255).round() / 255
        x = x.reshape(len(x), 3, grid[0], tile, grid[1], tile).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        x = torch.cat((x, overview[:, None]), 1) * 2 - 1
        return x, self._labels(label, grid)

    def _labels(self, label: Tensor, grid: tuple[int, int]) -> Tensor:
        side, batch = self.shape.side, len(label)
        tiles = label.reshape(batch, grid[0], side, 4, grid[1], side, 4).permute(0, 1, 4, 2, 5, 3, 6)
        coarse = label[:, grid[0] - 1 :: grid[0], grid[1] - 1 :: grid[1]]
        whole = coarse.reshape(batch, side, 4, side, 4).permute(0, 1, 3, 2, 4)
        return torch.cat((tiles.reshape(batch, -1, 16), whole.reshape(batch, -1, 16)), 1)


def heads(prompt: Prompt, device: str) -> dict[str, tuple[Tensor, Tensor]]:
    """For each shape of picture: the tokens before the question, and which of them are the picture's."""
    out = {}
    for shape in GRIDS:
        head = torch.from_numpy(prompt.head(shape))
        out[shape] = head.clamp(min=0).to(device), (head < 0).to(device)
    return out


def loss_of(model: nn.Module, head: tuple[Tensor, Tensor], slices: Tensor, batch: dict[str, Tensor]):
    """Mean loss of the answers' tokens, and of the dense head."""
    with torch.autocast(slices.device.type, torch.bfloat16):
        hidden, image = model(slices, *head, batch["tokens"])
        hidden, wanted = hidden[:, :-1][batch["learned"]], batch["tokens"][batch["learned"]]
        words = F.cross_entropy(model.scores(hidden).float(), wanted)
        dense = model.dense(image).float().log_softmax(-1)
        dense = -dense.gather(-1, batch["label"]).mean()
    return words, dense


@torch.compiler.set_stance("force_eager")
@torch.no_grad()
def exact(model: nn.Module, painter: Painter, prompt: Prompt, seed: int, each: int = 256) -> dict[str, float]:
    """Percent of answers that are right to the last token, by task. The same as greedy decoding."""
    rng, assets, device = Random(seed), painter.paints.assets, painter.device
    grids, out = heads(prompt, device), {}
    kinds = {"name": "single", "read": "text", "nothing": "nothing"}
    for task in ("name", "describe", "colour", "count", "count of one kind", "beside", "relation", "where", "yes or no",
                 "read", "bigger", "nothing"):  # fmt: skip
        scenes, turns = [], []
        while len(scenes) < each:
            aspect = random_aspect(rng, "square")
            scene = random_scene(rng, assets, aspect, kinds.get(task, "several"), plain=True)
            turn = tasks.ask(scene, rng, assets, "describe" if task == "nothing" else task)
            if turn is not None:
                scenes.append(scene)
                turns.append(turn)
        batch = {
            key: torch.from_numpy(value).to(device) for key, value in arrays(scenes, assets, classes_of(assets)).items()
        }
        talks = [prompt.conversation([turn], LENGTH) for turn in turns]
        tokens, learned = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*talks))
        slices, _ = painter(GRIDS["square"], batch)
        with torch.autocast(slices.device.type, torch.bfloat16):
            hidden, _ = model(slices, *grids["square"], tokens)
            best = model.scores(hidden[:, :-1]).argmax(-1)
        out[task] = 100 * ((best == tokens) | ~learned).all(1).float().mean().item()
    return out


def rate_at(share: float, steps: int) -> float:
    """Up, level, down to nothing."""
    return min(1.0, (steps + 1) / WARM, max(0.0, 1 - share) / (1 - STEADY))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("pack", "photos", "tokenizer", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--total", type=float)
    parser.add_argument("--batch", type=int, default=252)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=10**9)
    return parser.parse_args()


def main() -> None:
    given = parse()
    total = given.total or given.until
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    on_gpu = given.device == "cuda"
    device = f"cuda:{rank}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(rank)
    if world > 1:
        dist.init_process_group("nccl")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    begin = time.time()

    def say(text: str) -> None:
        if rank == 0:
            print(f"[{time.time() - begin:5.0f} s] {text}", flush=True)

    shape = Shape()
    prompt = Prompt(Tokenizer.from_file(str(given.tokenizer)), shape.side**2)
    paints = Paints(given.pack, given.photos, list(range(len(things.STYLES))), device)
    model = Model(shape, len(classes_of(paints.assets)) + 1).to(device)
    inner = [
        p for name, p in model.named_parameters() if (p.ndim == 2 and ".blk." in f".{name}") or name == "v.fc.weight"
    ]
    outer = [p for p in model.parameters() if all(p is not q for q in inner)]
    muon, adam = Muon(inner), torch.optim.AdamW(outer, ADAM_RATE, (0.9, 0.98), weight_decay=0.0)
    spent, steps = 0.0, 0
    given.out.mkdir(parents=True, exist_ok=True)
    if (given.out / "state.pt").exists():
        state = torch.load(given.out / "state.pt", map_location=device)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.velocity, spent, steps = state["velocity"], state["spent"], state["steps"]
    scenes = Conversations(paints.assets, prompt, given.batch, seed=1 + rank + 2 * steps)
    loader = iter(
        torch.utils.data.DataLoader(
            scenes,
            batch_size=None,
            num_workers=given.workers,
            pin_memory=on_gpu,
            prefetch_factor=3 if given.workers else None,
        )
    )
    say(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(inner)} matrices, from {spent:.0f} s"
    )
    if on_gpu:
        for block in [*model.v.blk, *model.blk]:
            block.compile(dynamic=False)
    painter = Painter(paints, shape, device, seed=100 + rank + steps)
    tests = {}
    if rank == 0 and on_gpu:
        unseen = Paints(given.pack, given.photos, list(range(len(things.STYLES))), device, unseen=True)
        other = Paints(given.pack, given.photos, [len(things.STYLES)], device)
        for name, p in (("unseen words and fonts", unseen), ("unseen style", other)):
            tests[name] = Painter(p, shape, device, seed=7)
    grids = heads(prompt, device)
    mean: dict[str, float] = defaultdict(float)
    last, pictures, told, began = time.time(), 0, time.time(), spent
    while spent < given.until and steps < given.steps:
        name, batch = next(loader)
        batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
        slices, batch["label"] = painter(GRIDS[name], batch)
        share = spent / total
        words, dense = loss_of(model, grids[name], slices, batch)
        (words + max(0.0, 1 - share / DENSE_UNTIL) * dense).backward()
        if world > 1:
            flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
            dist.all_reduce(flat, dist.ReduceOp.AVG)
            at = 0
            for p in model.parameters():
                if p.grad is not None:
                    p.grad.copy_(flat[at : at + p.numel()].view_as(p))
                    at += p.numel()
        rate = rate_at(share, steps)
        nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step(RATE * rate)
        adam.param_groups[0]["lr"] = ADAM_RATE * rate
        adam.step()
        model.zero_grad()
        steps += 1
        pictures += len(slices)
        if steps % 10 == 0:
            mean["words"], mean["dense"] = words.item(), dense.item()
            now = torch.tensor(began + time.time() - begin, device=device)
            if world > 1:
                dist.broadcast(now, 0)
            spent = now.item()
        if (time.time() - told > 20 or steps in (10, 60)) and steps % 10 == 0:
            speed = pictures * world / (time.time() - last)
            say(
                f"step {steps}, trained {spent:.0f} s, words {mean['words']:.4f}, dense {mean['dense']:.4f}, {speed:.0f} samples/s, rate {rate:.3f}, {torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0:.0f} GB"
            )
            told = last = time.time()
            pictures = 0
        if rank == 0 and on_gpu and steps in (500, 1500):
            for label, test in tests.items():
                say(f"{label}: {json.dumps({k: round(v) for k, v in exact(model, test, prompt, 5, 128).items()})}")
    if rank == 0:
        state = {
            "model": model.state_dict(),
            "adam": adam.state_dict(),
            "velocity": muon.velocity,
            "spent": spent,
            "steps": steps,
        }
        torch.save(state, given.out / "state.pt")
        torch.save({key: value.half().cpu() for key, value in model.state_dict().items()}, given.out / "weights.pt")
        say(f"saved after {steps} steps")
        for label, test in tests.items():
            say(f"{label}: {json.dumps({k: round(v, 1) for k, v in exact(model, test, prompt, 6).items()})}")
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
