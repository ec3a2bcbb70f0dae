"""The model and its held-out streams, as :mod:`vrex_eval` takes them."""

import copy
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vrex import UserError
from vrex_eval.benchmark import Batch, Question
from vrex_eval.method import Method
from vrex_video import questions, weights
from vrex_video.model import VideoModel
from vrex_video.stream import Split, ask_points, make_stream
from vrex_video.streaming import StreamingModel
from vrex_video.vocabulary import OLD_MEMORY, Kind

SHIPPED = Path(__file__).parent / "shipped"
"""Where the shipped model lies."""
POINTS = 4
"""Frames of a stream after which every kind of question is asked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoBenchmark:
    """A trained model and the streams of a split: those of the generator, or files in a folder."""

    model: VideoModel
    identity: str
    seed: int
    data: Path | None
    device: str
    split: Split = Split.TEST
    kinds: tuple[str, ...] = tuple(kind.value for kind in Kind)
    old_kinds: tuple[str, ...] = tuple(kind.value for kind in OLD_MEMORY)

    @property
    def layers(self) -> int:
        """Layers of the decoder."""
        return len(self.model.layers)

    def on(self, device: str) -> "VideoBenchmark":
        """Return the same on another device."""
        model = copy.deepcopy(self.model).to(device)
        return dataclasses.replace(self, model=model, device=device)

    def begin(self, method: Method) -> StreamingModel:
        """Return streams that have seen nothing."""
        return StreamingModel(self.model, method)

    def batch(self, context: int, first: int, count: int) -> Batch:
        """Return streams ``first`` on, ``count`` of them, of ``context`` tokens."""
        frames = context // questions.FRAME_TOKENS
        if frames < 1:
            raise UserError(f"context is {context}: use {questions.FRAME_TOKENS} tokens or more")
        made, asked = [], []
        for number in range(first, first + count):
            seen, own = self._stream(number, frames)
            made.append(seen)
            for q in own:
                asked.append(
                    Question(
                        kind=q.kind.value,
                        stream=number - first,
                        frame=q.frame,
                        text=q.text,
                        answer=q.answer,
                        distance=q.distance,
                    )
                )
        return Batch(frames=torch.stack(made).to(self.device), questions=asked)

    def _stream(self, number: int, frames: int) -> tuple[Tensor, list[questions.Question]]:
        if self.data is not None:
            return _read(self.data, number, frames)
        points = ask_points(frames, POINTS)
        stream = make_stream(self.split, number, frames, points, device=self.device)
        return stream.frames, list(stream.questions)


def load(
    model: Path | None, data: Path | None, device: str, split: Split = Split.TEST
) -> VideoBenchmark:
    """Load a trained model, the shipped one without ``model``.

    ``split``: which of the generator's streams; settings are chosen on those of ``VAL``.
    ``data`` is a folder of streams as safetensors: ``frames`` uint8 [F, 3, SIDE, SIDE], and in the
    metadata ``questions``, a JSON list of objects with kind, frame, text, answer and distance
    (:class:`vrex_video.questions.Question`). Without it the test streams are the generator's.

    Raises :class:`~vrex.UserError` for a folder that has no model or no streams.
    """
    folder = SHIPPED if model is None else model
    loaded, about = weights.load(folder, device)
    digest = hashlib.sha256((folder / weights.FILE).read_bytes()).hexdigest()[:16]
    if data is not None and not any(data.glob("*.safetensors")):
        raise UserError(f"{data}: holds no streams (*.safetensors)")
    source = f"{split.name.lower()} streams" if data is None else data.resolve().name
    return VideoBenchmark(
        model=loaded,
        identity=f"{digest} on {source}",
        seed=int(about.get("seed", 0)),
        data=data,
        device=device,
        split=split,
    )


def _read(folder: Path, number: int, frames: int) -> tuple[Tensor, list[questions.Question]]:
    paths = sorted(folder.glob("*.safetensors"))
    if number >= len(paths):
        raise UserError(f"{folder}: holds {len(paths)} streams, not {number + 1}; use --streams")
    path = paths[number]
    try:
        with safe_open(path, framework="pt") as file:
            seen = file.get_tensor("frames")
            given = json.loads((file.metadata() or {})["questions"])
        asked = [
            questions.Question(
                kind=Kind(q["kind"]),
                frame=int(q["frame"]),
                text=tuple(q["text"]),
                answer=tuple(q["answer"]),
                distance=int(q["distance"]),
            )
            for q in given
        ]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no stream with questions ({error!r})") from None
    if len(seen) < frames:
        raise UserError(f"{path}: has {len(seen)} frames, not {frames}; use a shorter --context")
    return seen[:frames], [q for q in asked if q.frame < frames]
