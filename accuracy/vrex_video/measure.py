"""Accuracy per kind of question, on streams run as whole sequences."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vrex_video.batches import SHAPE
from vrex_video.model import VideoModel
from vrex_video.stream import Split, Stream, ask_points, make_stream
from vrex_video.vocabulary import PAD, QUESTION_LENGTH, Kind

Accuracy = dict[str, tuple[float, int]]
"""For each kind: the part of its questions answered right, and how many there were."""


def measure(
    model: VideoModel,
    split: Split,
    numbers: Iterable[int],
    frames: int,
    *,
    points: int = 4,
    window: int | None = None,
    batch: int = 8,
) -> Accuracy:
    """Ask about streams ``numbers`` of a split, each of ``frames`` frames, at ``points`` frames.

    A sequence of answer tokens is right where all of it is. ``window``: tokens kept, None for all.
    The model runs where it is, ``batch`` streams at a time.
    """
    device = str(next(model.parameters()).device)
    right: dict[str, list[bool]] = {kind.value: [] for kind in Kind}
    order = list(numbers)
    for start in range(0, len(order), batch):
        streams = [
            make_stream(split, number, frames, ask_points(frames, points), device=device)
            for number in order[start : start + batch]
        ]
        for kind, correct in answered(model, streams, window):
            right[kind.value].append(correct)
    return {kind: (sum(r) / max(1, len(r)), len(r)) for kind, r in right.items()}


@torch.no_grad()
def answered(
    model: VideoModel, streams: list[Stream], window: int | None = None
) -> list[tuple[Kind, bool]]:
    """Return for each question of ``streams``, all of one length, whether it is answered right.

    The right answer's first tokens are given when its next one is asked for; since all of it must
    be right, that is the same as answering greedily.
    """
    device = next(model.parameters()).device
    most = max(len(stream.questions) for stream in streams)
    asked = torch.zeros(len(streams), most, dtype=torch.int64)
    text = torch.full((len(streams), most, SHAPE), PAD)
    for row, stream in enumerate(streams):
        for place, question in enumerate(stream.questions):
            words = (question.text + question.answer)[:-1]
            asked[row, place] = question.frame
            text[row, place, : len(words)] = torch.tensor(words)
    frames = torch.stack([stream.frames for stream in streams]).to(device)
    logits, _ = model(frames, asked.to(device), text.to(device), window)
    said: Tensor = logits[:, :, QUESTION_LENGTH - 1 :].argmax(-1).cpu()
    return [
        (question.kind, tuple(said[row, place, : len(question.answer)].tolist()) == question.answer)
        for row, stream in enumerate(streams)
        for place, question in enumerate(stream.questions)
    ]
