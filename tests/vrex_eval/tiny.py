"""A random streaming model with random streams: small, and with every part of the real ones."""

import copy

import torch
from torch import nn
from torch.nn.functional import rms_norm

from vrex_eval.benchmark import Batch, Question
from vrex_eval.method import Stage, Step

LAYERS, HEADS, KV_HEADS, D, WIDTH, WORDS = 3, 4, 2, 16, 32, 20
FRAME_TOKENS = 5


def rope(x, positions):
    half = x.shape[-1] // 2
    angles = positions[:, None, None] * 1e4 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Tiny(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(WORDS, WIDTH)
        self.q = nn.ModuleList(nn.Linear(WIDTH, HEADS * D) for _ in range(LAYERS))
        self.k = nn.ModuleList(nn.Linear(WIDTH, KV_HEADS * D) for _ in range(LAYERS))
        self.v = nn.ModuleList(nn.Linear(WIDTH, KV_HEADS * D) for _ in range(LAYERS))
        self.o = nn.ModuleList(nn.Linear(HEADS * D, WIDTH) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, WORDS)


class Watching:
    def __init__(self, model, method):
        self.model, self.tokens = model, 0
        self.caches = [method.layer(i, LAYERS) for i in range(LAYERS)]

    def fork(self):
        other = copy.copy(self)
        other.caches = [cache.fork() for cache in self.caches]
        return other

    def frame(self, frames):
        return self._run(frames, Stage.FRAME)

    def text(self, tokens):
        return self.model.head(self._run(tokens, Stage.TEXT))

    def _run(self, tokens, stage):
        m = self.model
        x = m.words(tokens)
        positions = torch.arange(self.tokens, self.tokens + tokens.shape[1])
        previous = None
        for i, cache in enumerate(self.caches):
            normed = rms_norm(x, (WIDTH,))
            q, k = 4 * m.q[i](normed).unflatten(-1, (-1, D)), m.k[i](normed).unflatten(-1, (-1, D))
            early = None
            if previous is not None:
                early = rope(m.q[i](previous).unflatten(-1, (-1, D)), positions)
            got = cache.attend(
                Step(
                    q=rope(q, positions),
                    k=rope(k, positions),
                    v=m.v[i](normed).unflatten(-1, (-1, D)),
                    q_plain=q,
                    k_plain=k,
                    stage=stage,
                    q_previous=early,
                )
            )
            x = x + m.o[i](got.out.flatten(2))
            previous = normed
        self.tokens += tokens.shape[1]
        return rms_norm(x, (WIDTH,))


class TinyBenchmark:
    kinds = ("step", "proc", "recall")
    old_kinds = ("recall",)
    layers = LAYERS
    device = "cpu"

    def on(self, device):
        return self

    def __init__(self, seed=0):
        self.seed, self.identity = seed, f"tiny {seed}"
        self.model = Tiny(seed)
        self.begun = []

    def begin(self, method):
        self.begun.append(method.name)
        return Watching(self.model, method)

    def batch(self, context, first, count):
        frames = context // FRAME_TOKENS
        made, questions = [], []
        for stream in range(count):
            g = torch.Generator().manual_seed(first + stream)
            made.append(torch.randint(0, WORDS, (frames, FRAME_TOKENS), generator=g))
            for number in range(2 + stream % 2):
                kind = self.kinds[number]
                answer = torch.randint(0, WORDS, (2 if kind == "proc" else 1,), generator=g)
                questions.append(
                    Question(
                        kind=kind,
                        stream=stream,
                        frame=frames - 1 - 3 * (number == 0),
                        text=(1, number, stream),
                        answer=tuple(answer.tolist()),
                        distance=10 if kind == "step" else 1000,
                    )
                )
        return Batch(frames=torch.stack(made), questions=questions)
