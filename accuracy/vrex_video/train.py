"""Train the small video model: ``python -m vrex_video.train -o DIR --seed N``, minutes on one GPU.

DIR gets ``weights.safetensors`` (bfloat16) and ``log.jsonl``: a line every hundred steps, and at
the end the accuracy on validation streams, of the weights as written, with full attention and with
the last 400 tokens only. With ``--device cpu --scale 0.001`` it is a rehearsal.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from vrex.errors import UserError
from vrex_video.batches import IGNORED, NOTES, Batch, Batches, Course, Phase
from vrex_video.measure import measure
from vrex_video.model import Config, VideoModel
from vrex_video.render import render
from vrex_video.stream import Split
from vrex_video.vocabulary import TOKEN, WORDS, Kind
from vrex_video.weights import load, save

MIXED = (205, 410, 410, 820, 1638)
COURSES = (
    Course(
        (Phase(700, (96,)), Phase(700, (192,)), Phase(1800, (410,)), Phase(900, MIXED)),
        peak=1e-3,
        counting=False,
    ),
    Course((Phase(1100, (410,)), Phase(600, MIXED)), peak=6e-4),
)
"""Looking up first, on short streams, where it takes seconds and holds for longer ones; then
counting as well. With both from the start, ``recall`` was still at 20 % after 4,500 steps."""
BATCH_FRAMES = 6560
"""Frames in a batch: 16 streams of 410."""
NOTES_WEIGHT = 0.3
RECENT = 400


def loss(model: VideoModel, notes_head: nn.Linear, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the questions' cross entropy, that of what frames' last tokens note, what is said."""
    frames = render(batch["camera"], batch["sprites"])
    logits, ends = model(frames, batch["asked"], batch["text"])
    asked = functional.cross_entropy(
        logits.flatten(0, 2).float(), batch["target"].flatten(), ignore_index=IGNORED
    )
    said = notes_head(ends).unflatten(-1, (NOTES, len(WORDS)))
    notes = functional.cross_entropy(
        said.flatten(0, 2).float(), batch["notes"].flatten(), ignore_index=IGNORED
    )
    return asked, notes, logits.detach().argmax(-1)


def right(said: Tensor, batch: Batch) -> dict[str, float]:
    """Return for each kind the part of a batch's questions that is answered right."""
    target = batch["target"]
    correct = ((said == target) | (target == IGNORED)).all(-1)
    asked = batch["text"][..., 1]
    found = {}
    for kind in Kind:
        there = asked == TOKEN[f"<{kind.value}>"]
        found[kind.value] = round((correct & there).sum().item() / max(1, there.sum().item()), 3)
    return found


def rate(step: int, steps: int) -> float:
    """Return the learning rate's part of its peak: a short rise, then half a cosine."""
    rise = min(200, steps // 4 + 1)
    if step < rise:
        return (step + 1) / rise
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Training:
    """A model under training, a course at a time; ``log`` takes a dict now and then."""

    def __init__(self, model: VideoModel, seed: int, device: str, log: Any, workers: int) -> None:
        """Train ``model`` on ``device``, on the streams of ``seed``."""
        self.model = model.to(device)
        self.notes_head = nn.Linear(model.config.width, NOTES * len(WORDS)).to(device)
        self.seed, self.device, self.log, self.workers = seed, device, log, workers
        self.began = time.monotonic()

    def take(self, course: Course, first: int) -> None:
        """Take a course, after others of ``first`` batches in all."""
        cuda = self.device != "cpu"
        batches = Batches(self.seed, course, BATCH_FRAMES if cuda else 192, first)
        loader: DataLoader[Batch] = DataLoader(
            batches, batch_size=None, num_workers=self.workers, pin_memory=cuda
        )
        weights = [*self.model.parameters(), *self.notes_head.parameters()]
        plain = [w for w in weights if w.dim() < 2]
        decayed = [w for w in weights if w.dim() >= 2]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=course.peak, betas=(0.9, 0.95), fused=cuda)
        for step, batch in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = course.peak * rate(step, len(batches))
            here = {name: part.to(self.device, non_blocking=True) for name, part in batch.items()}
            with torch.autocast(self.device, torch.bfloat16):
                asked, notes, said = loss(self.model, self.notes_head, here)
            (asked + NOTES_WEIGHT * notes).backward()
            norm = nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % 100 == 0 or step + 1 == len(batches):
                self.log(
                    {
                        "step": first + step,
                        "of": first + len(batches),
                        "frames": batches.lengths[step],
                        "loss": round(asked.item(), 4),
                        "notes": round(notes.item(), 4),
                        "norm": round(norm.item(), 3),
                        "right": right(said, here),
                        "seconds": round(time.monotonic() - self.began, 1),
                    }
                )


def courses(scale: float) -> tuple[Course, ...]:
    """Return the courses with ``scale`` times their steps, at least one a phase."""
    return tuple(
        replace(
            course,
            phases=tuple(
                replace(phase, steps=max(1, round(phase.steps * scale))) for phase in course.phases
            ),
        )
        for course in COURSES
    )


def report(folder: Path, device: str, log: Any, streams: int) -> None:
    """Measure the weights in ``folder`` on validation streams of 4K and 16K tokens."""
    model, _ = load(folder, device)
    with torch.autocast(device, torch.bfloat16):
        for frames, count in ((410, streams), (1638, streams // 4)):
            for window in (None, RECENT):
                numbers = range(max(1, count))
                found = measure(model, Split.VAL, numbers, frames, window=window, batch=4)
                rounded = {kind: [round(part, 4), n] for kind, (part, n) in found.items()}
                log({"val_frames": frames, "window": window, "accuracy": rounded})


def _check(options: argparse.Namespace) -> None:
    """Raise :class:`~vrex.UserError` for options that cannot be."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device here: run on a GPU, or rehearse with --device cpu")
    if options.device not in ("cuda", "cpu"):
        raise UserError(f"--device is {options.device!r}: it must be cuda or cpu")
    if options.seed < 0 or options.workers < 0 or options.streams < 1:
        raise UserError("--seed and --workers must be 0 or more, --streams 1 or more")
    if options.begin is not None and options.begin.resolve() == options.output.resolve():
        raise UserError(f"--begin and --output are both {options.begin}: write to another folder")
    if not 0 < options.scale < math.inf:
        raise UserError(f"--scale is {options.scale}: it must be a number above 0")


def main() -> None:
    """Train, write, measure."""
    parser = argparse.ArgumentParser(prog="vrex_video.train", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and of the streams")
    parser.add_argument("--begin", type=Path, help="a trained model: take the last course alone")
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the steps to train for")
    parser.add_argument("--workers", type=int, default=8, help="processes that write scripts")
    parser.add_argument("--streams", type=int, default=64, help="validation streams of 4K tokens")
    options = parser.parse_args()
    console = Console(stderr=True)
    try:
        _check(options)
        torch.manual_seed(options.seed)
        model = VideoModel(Config()) if options.begin is None else load(options.begin)[0].train()
        try:
            options.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{options.output}: cannot be made ({error}); choose another place"
            ) from None
        with (options.output / "log.jsonl").open("w") as file:

            def log(entry: dict[str, Any]) -> None:
                line = json.dumps(entry)
                file.write(line + "\n")
                file.flush()
                console.print(line, markup=False, highlight=False, soft_wrap=True)

            log({"seed": options.seed, "scale": options.scale, "torch": torch.__version__})
            began = time.monotonic()
            training = Training(model, options.seed, options.device, log, options.workers)
            first = 0
            for number, course in enumerate(courses(options.scale)):
                if options.begin is None or number + 1 == len(COURSES):
                    training.take(course, first)
                first += sum(phase.steps for phase in course.phases)
            seconds = round(time.monotonic() - began)
            save(model, options.output, seed=options.seed, scale=options.scale)
            log({"trained_in_seconds": seconds})
            report(options.output, options.device, log, options.streams)
    except UserError as error:
        console.print(f"vrex_video.train: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
