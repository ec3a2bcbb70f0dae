"""A video with its questions, from a split and a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from vrex.errors import UserError
from vrex_video.questions import OLD, Question, ask
from vrex_video.render import Layout, lay_out, render
from vrex_video.script import LONGEST, Script, write_script
from vrex_video.vocabulary import PAD, QUESTION_LENGTH, Kind


class Split(Enum):
    """Which streams: their random numbers have nothing in common."""

    TRAIN = 0
    VAL = 1
    TEST = 2


@dataclass(frozen=True, eq=False)
class Stream:
    """A video, and what is asked while it runs."""

    frames: Tensor
    """uint8 [F, 3, SIDE, SIDE]: RGB."""
    questions: tuple[Question, ...]
    """In the order of their frames."""
    script: Script


def generator(split: Split, seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of stream ``number`` of ``split``, under ``seed`` (both >= 0)."""
    sequence = np.random.SeedSequence([split.value, seed, number])
    return np.random.Generator(np.random.PCG64(sequence))


def make_scene(split: Split, seed: int, number: int, frames: int) -> tuple[Script, Layout]:
    """Return a stream's script and layout, without its pixels.

    ``UserError`` where ``frames`` is too few or a number is negative.
    """
    if frames < 2 * LONGEST:
        raise UserError(f"a stream of {frames} frames is too short: use {2 * LONGEST} or more")
    if seed < 0 or number < 0:
        raise UserError(f"stream {number} of seed {seed}: use numbers of 0 or more")
    rng = generator(split, seed, number)
    script = write_script(rng, frames)
    return script, lay_out(script, rng)


def make_stream(
    split: Split,
    number: int,
    frames: int,
    points: Sequence[int],
    *,
    seed: int = 0,
    old: int = OLD,
    device: str = "cpu",
) -> Stream:
    """Return stream ``number`` of a split, with a question of every kind at each of ``points``.

    ``points`` are frames, 0 to ``frames`` - 1; a kind is left out at a point where it has no
    definite answer. ``old`` is the least age in frames of an old-memory question's evidence. The
    same arguments give the same stream, on every device. ``UserError`` where a point or a number is
    out of range.
    """
    script, layout = make_scene(split, seed, number, frames)
    outside = [point for point in points if not 0 <= point < frames]
    if outside:
        raise UserError(f"no frame {outside[0]} to ask at: the stream has {frames} frames")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, seed, number])))
    asked = [ask(script, kind, point, rng, old) for point in sorted(points) for kind in Kind]
    camera, sprites = (
        torch.from_numpy(part).to(device) for part in (layout.camera, layout.sprites)
    )
    questions = tuple(question for question in asked if question is not None)
    return Stream(render(camera, sprites), questions, script)


def ask_points(frames: int, count: int) -> tuple[int, ...]:
    """Return ``count`` frames to ask at, in the stream's last quarter, the last one its end."""
    return tuple(sorted({frames - 1 - k * (frames // 4) // count for k in range(count)}))


def gather(
    streams: Sequence[Stream], frame: int, kind: Kind
) -> tuple[Tensor, list[Question | None]]:
    """Return what each stream is asked after ``frame``: int64 [B, QUESTION_LENGTH], and the whole.

    A stream that is not asked has a row of padding and None.
    """
    asked: list[Question | None] = []
    for stream in streams:
        fit = [q for q in stream.questions if q.frame == frame and q.kind is kind]
        asked.append(fit[0] if fit else None)
    empty = (PAD,) * QUESTION_LENGTH
    return torch.tensor([q.text if q else empty for q in asked]), asked
